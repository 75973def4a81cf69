import { randomUUID } from 'node:crypto';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../../log.ts';
import { STORE_UNAVAILABLE, storeRetryAfter } from '../../operations/store-unavailable.ts';
import { bodyTooLarge, sendError } from '../errors.ts';

/** What the caller of a request that failed gets to know. */
export interface Fault {
  readonly status: number;
  readonly detail: string;
  /** Seconds; null: the same request would fail again, or it is unknown when it would not. */
  readonly retryAfter: number | null;
}

/** Handles what routes throw. */
export function errorHandler(maxBodyBytes: number, log: Log) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    switch (error.code) {
      case 'FST_ERR_CTP_BODY_TOO_LARGE':
        return sendError(
          reply,
          413,
          bodyTooLarge(request.routeOptions.bodyLimit ?? maxBodyBytes, request.headers),
        );
      case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
        return sendError(reply, 415, unsupportedType(request.headers['content-type']));
      default:
    }
    const { status, detail, retryAfter } = faultOf(error, request, reply, log);
    if (retryAfter !== null) reply.header('retry-after', retryAfter);
    return sendError(reply, status, detail);
  };
}

/**
 * What to say of an error that a route threw. Callers see their own mistakes; any other error becomes a reference under
 * which the log has the rest.
 */
export function faultOf(error: FastifyError, request: FastifyRequest, reply: FastifyReply, log: Log): Fault {
  const about = { requestId: request.id, method: request.method, route: request.routeOptions.url ?? null };
  if (error.name === 'AbortError' && reply.raw.destroyed) {
    log.debug(about, 'the client left before the response');
    return { status: 499, detail: 'The client closed the connection', retryAfter: null };
  }
  const retryAfter = error.statusCode === undefined ? storeRetryAfter(error) : null;
  if (retryAfter !== null) {
    log.error({ ...about, err: error }, 'the store is unavailable');
    return { status: 503, detail: STORE_UNAVAILABLE, retryAfter };
  }
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500) return { status, detail: error.message, retryAfter: null };
  const reference = randomUUID();
  log.error({ ...about, reference, err: error }, 'a request failed');
  return { status: 500, detail: `Internal error, reference ${reference}`, retryAfter: null };
}

function unsupportedType(type: string | undefined): string {
  const got = type === undefined ? 'no Content-Type' : type.slice(0, 100);
  return `Send the body as JSON with the header Content-Type: application/json (curl: -H "Content-Type: application/json"), got ${got}`;
}

const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'] as const;

/**
 * Records every route that is registered on `app` from now on, and answers requests without a route: 405 with `Allow` if
 * the path exists for other methods, else 404.
 */
export function answerUnknownPaths(app: FastifyInstance): void {
  const known: { pattern: RegExp; methods: readonly string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    known.push({ pattern: patternOf(url), methods: [method].flat() });
  });
  app.setNotFoundHandler((request, reply) => {
    const [path = '/'] = request.url.split('?');
    const methods = known.filter(({ pattern }) => pattern.test(path)).flatMap(route => route.methods);
    const allowed = [...new Set([...methods, ...methodsElsewhere(app, path)])].sort();
    // The method is allowed, so a static file below the path is missing.
    if (allowed.length === 0 || allowed.includes(request.method)) {
      return sendError(reply, 404, `There is nothing at ${path.slice(0, 200)}, see /docs`);
    }
    reply.header('allow', allowed.join(', '));
    return sendError(reply, 405, `${path.slice(0, 200)} takes ${allowed.join(', ')}, got ${request.method}`);
  });
}

/** Methods of a path without parameters that another plugin registered, such as `/graphql`. */
function methodsElsewhere(app: FastifyInstance, path: string): string[] {
  if (!/^[\w./-]+$/.test(path)) return [];
  return METHODS.filter(method => app.hasRoute({ url: path, method }));
}

/** A route pattern of Fastify as a RegExp: `:name` matches a segment, `*` the rest of the path. */
function patternOf(url: string): RegExp {
  const source = url
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:[^/]+/g, '[^/]+')
    .replace(/\*/g, '.*')
    .replace(/\/$/, '');
  return new RegExp(`^${source}/?$`);
}
