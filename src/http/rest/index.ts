import type { FastifyPluginAsync } from 'fastify';
import { allEventsRoute } from './all-events.ts';
import { batchRoutes, editsRoute } from './batches.ts';
import type { RestOptions } from './context.ts';
import { debugRoutes } from './debug.ts';
import { docsRoutes } from './docs.ts';
import { downloadRoutes } from './download.ts';
import { editRoutes } from './edit.ts';
import { engineRoutes } from './engines.ts';
import { answerUnknownPaths, errorHandler } from './errors.ts';
import { eventRoutes } from './events.ts';
import { inputRoutes } from './input.ts';
import { jobsRoutes } from './jobs.ts';
import { meRoute } from './me.ts';
import { statusRoutes } from './status.ts';
import { uploadRoutes } from './uploads.ts';

/** All documented REST routes, and the errors for paths and methods without one. */
export function restRoutes(options: RestOptions): FastifyPluginAsync {
  return async app => {
    answerUnknownPaths(app);
    app.setErrorHandler(errorHandler(options.maxBodyBytes, options.log));
    // Only /edit-image, /edit-images, /upload and /engines read bodies; any other body is ignored.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, _payload, done) => done(null));

    await app.register(async scope => editRoutes(scope, options));
    await app.register(async scope => editsRoute(scope, options));
    await app.register(async scope => uploadRoutes(scope, options));
    await app.register(async scope => engineRoutes(scope, options));
    statusRoutes(app, options);
    eventRoutes(app, options);
    allEventsRoute(app, options);
    downloadRoutes(app, options);
    inputRoutes(app, options);
    jobsRoutes(app, options);
    meRoute(app, options);
    batchRoutes(app, options);
    debugRoutes(app, options);
    await app.register(async scope => docsRoutes(scope, options));
  };
}
