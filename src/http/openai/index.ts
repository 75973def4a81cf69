import multipart from '@fastify/multipart';
import type { FastifyPluginAsync } from 'fastify';
import type { OpenAIOptions } from './context.ts';
import { createDepartures } from './departures.ts';
import { editRoute } from './edits.ts';
import { answerUnknown, openaiErrorHandler } from './errors.ts';
import { MAX_FILES } from './form.ts';
import { modelRoutes } from './models.ts';
import { PARAMETERS } from './parameters.ts';

/** Every route of OpenAI's API that is here, below `/v1`. */
export const OPENAI_ROUTES = ['GET /models', 'GET /models/{id}', 'POST /images/edits'] as const;

/** A prompt of 10,000 characters in UTF-8. */
const FIELD_BYTES = 40_000;
/** Fields besides the known ones: clients send their own. */
const MORE_FIELDS = 20;

/** The part of OpenAI's API that edits images, to be registered below `/v1`. Errors have its form. */
export function openaiRoutes(options: OpenAIOptions): FastifyPluginAsync {
  return async app => {
    app.setNotFoundHandler(answerUnknown);
    app.setErrorHandler(openaiErrorHandler(options.log));
    app.removeAllContentTypeParsers();
    const fields = PARAMETERS.length + MORE_FIELDS;
    await app.register(multipart, {
      limits: {
        files: MAX_FILES,
        fields,
        parts: MAX_FILES + fields,
        fieldSize: FIELD_BYTES,
        headerPairs: 50,
      },
      // `uploads` limits the size of each file.
      throwFileSizeLimit: false,
    });
    const departures = createDepartures(options.services.jobs, options.log);
    app.addHook('onClose', async () => departures.stop());
    modelRoutes(app, options);
    editRoute(app, options, departures);
  };
}
