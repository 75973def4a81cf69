import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { PAGE_HEADERS } from '../headers.ts';
import { buildOpenApi } from './contract/openapi.ts';

const TITLE = 'Qwen Image Edit Plus API';

/** Where the page is. */
export const DOCS_PATH = '/docs';

/** The page is served whole from here: it needs nothing from elsewhere. */
const CONTENT_SECURITY = {
  'default-src': "'self'",
  'script-src': "'self'",
  'style-src': ["'self'", "'unsafe-inline'"],
  'img-src': ["'self'", 'data:', 'blob:'],
  'object-src': "'none'",
  'base-uri': "'self'",
  'frame-ancestors': "'self'",
};

/** GET `/openapi.json` and the page at `/docs`. */
export async function docsRoutes(app: FastifyInstance, version: string): Promise<void> {
  const document = buildOpenApi(version);
  app.get('/openapi.json', async () => document);
  // The types of the plugin know OpenAPI 3.0 only: the document itself goes in by `transformSpecification`.
  const placeholder = { openapi: '3.1.0', info: { title: TITLE, version }, paths: {} };
  await app.register(swagger, { mode: 'static', specification: { document: placeholder } });
  await app.register(swaggerUi, {
    routePrefix: DOCS_PATH,
    staticCSP: CONTENT_SECURITY,
    transformSpecification: () => document,
    theme: { title: TITLE },
    uiConfig: { docExpansion: 'list', tryItOutEnabled: true },
    uiHooks: {
      onRequest(_request, reply, done) {
        reply.headers(PAGE_HEADERS);
        done();
      },
    },
  });
}
