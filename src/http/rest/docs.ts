import type { FastifyInstance } from 'fastify';
import { sendError } from '../errors.ts';
import { varyBy } from '../headers.ts';
import { BUILD_COMMAND, openPage, type Page } from '../pages.ts';
import type { RestOptions } from './context.ts';
import { buildOpenApi } from './contract/openapi.ts';
import type { HealthResponse } from './contract/responses.ts';

const TITLE = 'Qwen Image Edit Plus API';
const DOCS_PATH = '/docs';

/** The page loads nothing from other origins. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "object-src 'none'",
  "base-uri 'self'",
  "frame-ancestors 'self'",
].join('; ');

/** Opens Swagger UI as it was built into `folder`. Null: it was not built. */
export async function openDocs(folder: string): Promise<Page | null> {
  return openPage(folder, {
    assetsPath: `${DOCS_PATH}/static/`,
    hashed: false,
    contentSecurityPolicy: CONTENT_SECURITY_POLICY,
  });
}

/**
 * GET `/`, GET `/openapi.json`, also as `/docs/json`, and the page at `/docs`, all public. `/` sends browsers the Studio page,
 * or redirects them to `/docs` where there is none.
 */
export async function docsRoutes(app: FastifyInstance, options: RestOptions): Promise<void> {
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

  await options.studio?.addAssets(app, options.log);

  const { version } = options;
  // Built when it is first asked for, which few gateways are.
  let built: ReturnType<typeof buildOpenApi> | null = null;
  const document = () => {
    built ??= buildOpenApi(version);
    return built;
  };
  app.get('/openapi.json', async () => document());
  app.get(`${DOCS_PATH}/json`, async () => document());
  await options.docs?.addAssets(app, options.log);
  app.get(DOCS_PATH, async (request, reply) => {
    // The links of the page are relative to a path without the slash.
    if (request.url.split('?', 1)[0]?.endsWith('/')) return reply.redirect(`..${DOCS_PATH}`, 302);
    return (
      options.docs?.send(request, reply) ??
      sendError(
        reply,
        404,
        `The page is not built: ${BUILD_COMMAND} builds it. The document is at /openapi.json`,
      )
    );
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
