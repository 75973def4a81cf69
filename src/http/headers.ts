import { IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import cors from '@fastify/cors';
import type { FastifyInstance, FastifyReply } from 'fastify';
import helmet, { type HelmetOptions } from 'helmet';
import type { CheckOrigin } from './limits/foreign-origins.ts';

/** Response headers that pages of allowed origins may read. */
const EXPOSED = [
  'content-disposition',
  'etag',
  'link',
  'location',
  'mcp-session-id',
  'retry-after',
  'x-job-id',
  'x-request-id',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-warnings',
];

/** Additional headers of HTML pages: they concern documents that run scripts, so data does not need them. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'cross-origin-opener-policy': 'same-origin',
  'origin-agent-cluster': '?1',
};

/**
 * The headers of every response. Responses are data, so by default nothing in them may load, run or be framed: the pages of
 * GraphiQL and `/docs` set policies of their own and add `PAGE_HEADERS`. `https`: PUBLIC_URL is an https URL.
 */
export function securityHeaders(origins: readonly string[], https: boolean): OutgoingHttpHeaders {
  return headersOf({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"], 'base-uri': ["'none'"] },
    },
    crossOriginResourcePolicy: { policy: origins.length === 0 ? 'same-origin' : 'cross-origin' },
    // HSTS makes sense only over HTTPS, which only PUBLIC_URL tells us.
    strictTransportSecurity: https ? { maxAge: 15_552_000, includeSubDomains: false } : false,
    xFrameOptions: { action: 'deny' },
    referrerPolicy: { policy: 'no-referrer' },
    // In PAGE_HEADERS: a header costs time in every small response.
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    // For Flash, Internet Explorer, filters that browsers have removed, and links within pages.
    xPermittedCrossDomainPolicies: false,
    xDownloadOptions: false,
    xXssProtection: false,
    xDnsPrefetchControl: false,
  });
}

/**
 * Adds the headers of every response, and CORS: only the gateway's own origin and `origins` may use it from a browser.
 */
export async function addHeaders(
  app: FastifyInstance,
  options: {
    readonly always: OutgoingHttpHeaders;
    readonly origins: readonly string[];
    readonly checkOrigin: CheckOrigin;
  },
): Promise<void> {
  const { always, origins, checkOrigin } = options;
  app.addHook('onRequest', ({ headers: { origin, host } }, reply, done) => {
    reply.headers(always);
    // Browsers enforce it: without CORS headers their page cannot read the response.
    if (origin !== undefined) checkOrigin(origin, host);
    done();
  });
  // Without origins the plugin would only cost time.
  if (origins.length === 0) return;
  await app.register(cors, {
    origin: [...origins],
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    exposedHeaders: EXPOSED,
    // Keys and tokens are sent in headers. There are no cookies.
    credentials: false,
    maxAge: 600,
    strictPreflight: false,
  });
}

/** The headers that helmet sets. They are the same for every request, so helmet runs only once. */
function headersOf(options: HelmetOptions): OutgoingHttpHeaders {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  helmet(options)(request, response, () => {});
  return { ...response.getHeaders() };
}

/** Adds the name of a request header to `Vary` (RFC 9110, 12.5.5). */
export function varyBy(reply: FastifyReply, name: string): FastifyReply {
  const before = reply.getHeader('vary');
  return reply.header('vary', before === undefined ? name : `${String(before)}, ${name}`);
}
