import type { FastifyInstance } from 'fastify';
import { varyBy } from '../headers.ts';
import { prefersHtml } from './accept.ts';
import type { RestOptions } from './context.ts';
import type { HealthAnswer } from './contract/responses.ts';
import { DOCS_PATH } from './docs.ts';

/** GET `/`: who is here. A browser is sent on to the page. */
export function healthRoutes(app: FastifyInstance, options: RestOptions): void {
  app.get('/', async (request, reply) => {
    varyBy(reply, 'accept');
    if (prefersHtml(request.headers.accept)) return reply.redirect(DOCS_PATH, 302);
    return {
      message: 'Qwen Image Edit Plus API',
      status: 'running',
      version: options.version,
      features: options.features(),
      engine: options.engineKind(),
    } satisfies HealthAnswer;
  });
}
