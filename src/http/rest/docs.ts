import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { PAGE_HEADERS, varyBy } from '../headers.ts';
import type { RestOptions } from './context.ts';
import { buildOpenApi } from './contract/openapi.ts';
import type { HealthResponse } from './contract/responses.ts';

const TITLE = 'Qwen Image Edit Plus API';
const DOCS_PATH = '/docs';

/** The page loads nothing from other origins. */
const CONTENT_SECURITY = {
  'default-src': "'self'",
  'script-src': "'self'",
  'style-src': ["'self'", "'unsafe-inline'"],
  'img-src': ["'self'", 'data:', 'blob:'],
  'object-src': "'none'",
  'base-uri': "'self'",
  'frame-ancestors': "'self'",
};

/**
 * GET `/`, GET `/openapi.json` and the page at `/docs`, all public. `/` sends browsers the Studio page, or redirects them
 * to `/docs` where there is none.
 */
export async function docsRoutes(app: FastifyInstance, options: RestOptions): Promise<void> {
  // Covers the routes that swagger-ui registers, too.
  app.addHook('onRoute', route => {
    route.config = { ...route.config, access: 'public' };
  });

  app.get('/', async (request, reply) => {
    varyBy(reply, 'accept');
    if (prefersHtml(request.headers.accept)) {
      return options.studio?.send(request, reply) ?? reply.redirect(DOCS_PATH, 302);
    }
    return {
      message: TITLE,
      status: 'running',
      version: options.version,
      features: options.features(),
      engine: options.engineKind(),
    } satisfies HealthResponse;
  });

  await options.studio?.addAssets(app);

  const { version } = options;
  // Built when it is first asked for, which few gateways are.
  let built: ReturnType<typeof buildOpenApi> | null = null;
  const document = () => {
    built ??= buildOpenApi(version);
    return built;
  };
  app.get('/openapi.json', async () => document());
  // The plugin's types know OpenAPI 3.0 only, so the document is passed by `transformSpecification`.
  const placeholder = { openapi: '3.1.0', info: { title: TITLE, version }, paths: {} };
  await app.register(swagger, { mode: 'static', specification: { document: placeholder } });
  await app.register(swaggerUi, {
    routePrefix: DOCS_PATH,
    staticCSP: CONTENT_SECURITY,
    transformSpecification: document,
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

/** Whether an Accept header (RFC 9110, 12.5.1) names HTML and prefers it to JSON: only browsers do. */
function prefersHtml(accept: string | undefined): boolean {
  const ranges = (accept ?? '').split(',').map(range => {
    const [type = '', ...parameters] = range.split(';').map(part => part.trim().toLowerCase());
    const weight = parameters.find(parameter => parameter.startsWith('q='));
    return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
  });
  const weightOf = (name: string) => ranges.find(({ type }) => type === name)?.weight;
  const html = weightOf('text/html') ?? 0;
  const json = weightOf('application/json') ?? weightOf('application/*') ?? weightOf('*/*') ?? 0;
  return html > json;
}
