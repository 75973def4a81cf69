import { IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import cors from '@fastify/cors';
import type { FastifyInstance, FastifyReply } from 'fastify';
import helmet, { type HelmetOptions } from 'helmet';

/** Headers of ours that a page of another origin may read. */
const EXPOSED = [
  'content-disposition',
  'etag',
  'location',
  'retry-after',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
];

/** For pages, beside what every answer has: words about documents that run scripts, of which answers of data are none. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'cross-origin-opener-policy': 'same-origin',
  'origin-agent-cluster': '?1',
};

/**
 * The headers that browsers obey. No origin but our own may use us, unless it is named; answers are data and never a
 * page, so nothing in them may load, run or be framed: the pages of GraphiQL and `/docs` say what they need
 * themselves, and add `PAGE_HEADERS`.
 */
export async function addHeaders(
  app: FastifyInstance,
  options: { readonly origins: readonly string[]; readonly https: boolean },
): Promise<void> {
  const { origins, https } = options;
  const always = headersOf({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"], 'base-uri': ["'none'"] },
    },
    crossOriginResourcePolicy: { policy: origins.length === 0 ? 'same-origin' : 'cross-origin' },
    // A word for https, of which only PUBLIC_URL knows.
    strictTransportSecurity: https ? { maxAge: 15_552_000, includeSubDomains: false } : false,
    xFrameOptions: { action: 'deny' },
    referrerPolicy: { policy: 'no-referrer' },
    // Those of `PAGE_HEADERS`: each header is written, sent and read with every small answer.
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    // Words for Flash, Internet Explorer and filters that browsers have taken out again, and for links within pages.
    xPermittedCrossDomainPolicies: false,
    xDownloadOptions: false,
    xXssProtection: false,
    xDnsPrefetchControl: false,
  });
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(always);
    done();
  });
  // It would look at each request, to do nothing.
  if (origins.length === 0) return;
  await app.register(cors, {
    origin: [...origins],
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    exposedHeaders: EXPOSED,
    // Keys and tokens are sent by hand; nothing is kept in cookies.
    credentials: false,
    maxAge: 600,
    strictPreflight: false,
  });
}

/**
 * What helmet sets with these options. No request changes it, and working it out takes longer than a small answer: so
 * it is asked once.
 */
function headersOf(options: HelmetOptions): OutgoingHttpHeaders {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  helmet(options)(request, response, () => {});
  return { ...response.getHeaders() };
}

/** Adds a request header by which the answer differs (RFC 9110, 12.5.5) to those that were named before. */
export function varyBy(reply: FastifyReply, name: string): FastifyReply {
  const before = reply.getHeader('vary');
  return reply.header('vary', before === undefined ? name : `${String(before)}, ${name}`);
}
