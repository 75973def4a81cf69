import cors from '@fastify/cors';
import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

/** Headers of ours that a page of another origin may read. */
const EXPOSED = [
  'content-disposition',
  'etag',
  'location',
  'retry-after',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
];

/**
 * The headers that browsers obey. No origin but our own may use us, unless it is named; answers are data and never a
 * page, so nothing in them may load, run or be framed: the pages of GraphiQL and `/docs` say what they need
 * themselves.
 */
export async function addHeaders(
  app: FastifyInstance,
  options: { readonly origins: readonly string[]; readonly https: boolean },
): Promise<void> {
  const { origins, https } = options;
  await app.register(helmet, {
    global: true,
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"], 'base-uri': ["'none'"] },
    },
    crossOriginResourcePolicy: { policy: origins.length === 0 ? 'same-origin' : 'cross-origin' },
    // A word for https, of which only PUBLIC_URL knows.
    strictTransportSecurity: https ? { maxAge: 15_552_000, includeSubDomains: false } : false,
    xFrameOptions: { action: 'deny' },
    referrerPolicy: { policy: 'no-referrer' },
  });
  await app.register(cors, {
    origin: origins.length === 0 ? false : [...origins],
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    exposedHeaders: EXPOSED,
    // Keys and tokens are sent by hand; nothing is kept in cookies.
    credentials: false,
    maxAge: 600,
    strictPreflight: false,
  });
}
