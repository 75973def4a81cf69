import type { FastifyPluginAsync } from 'fastify';
import type { RestOptions } from './context.ts';
import { debugRoutes } from './debug.ts';
import { docsRoutes } from './docs.ts';
import { downloadRoutes } from './download.ts';
import { editRoutes } from './edit.ts';
import { errorHandler } from './errors.ts';
import { eventRoutes } from './events.ts';
import { healthRoutes } from './health.ts';
import { jobsRoutes } from './jobs.ts';
import { answerUnknownPaths } from './not-found.ts';
import { previewRoutes } from './preview.ts';
import { statusRoutes } from './status.ts';
import { uploadRoutes } from './uploads.ts';
import { webhookRoutes } from './webhooks.ts';

export type { RestOptions } from './context.ts';
export { buildOpenApi } from './contract/openapi.ts';
export { answerClientError, answerFrameworkError } from './errors.ts';

/**
 * Every documented endpoint, with the answers for paths and methods that are not there. What goes wrong before a
 * route is found is the server's: give it `answerFrameworkError` and `answerClientError`, so that it sounds the same.
 */
export function restRoutes(options: RestOptions): FastifyPluginAsync {
  return async app => {
    answerUnknownPaths(app);
    app.setErrorHandler(errorHandler(options.maxBodyBytes, options.log));
    // Only /edit-image and /upload read a body; what is sent elsewhere is passed over.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, _payload, done) => done(null));

    healthRoutes(app, options);
    await app.register(async scope => editRoutes(scope, options));
    await app.register(async scope => uploadRoutes(scope, options));
    statusRoutes(app, options);
    eventRoutes(app, options);
    downloadRoutes(app, options);
    previewRoutes(app, options);
    webhookRoutes(app, options);
    jobsRoutes(app, options);
    debugRoutes(app, options);
    await docsRoutes(app, options.version);
  };
}
