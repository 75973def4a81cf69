import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { parseTraceparent } from '../jobs/trace.ts';
import type { Log } from '../log.ts';
import type { OnRequest } from '../telemetry/request-metrics.ts';
import type { Callers } from './access/identity.ts';

/** Ids that clients and proxies make: UUIDs, ULIDs, `req_…`, trace ids. Anything else could forge log lines. */
const REQUEST_ID = /^[\w.:=@/+-]{1,128}$/;

/** The `X-Request-Id` of a request, or a new one if it sends none or one that is not a plain word. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

/** Returns the id of each request in `X-Request-Id`, so that a caller can name it in a report. */
export function addRequestIds(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
}

/**
 * Logs each request at its end, at `info`: never its query, headers or body. Routes with `logged: false` are left out.
 * Events of a WebSocket are operations, not requests.
 */
export function logRequests(app: FastifyInstance, callers: Callers, log: Log): void {
  const write = (request: FastifyRequest, reply: FastifyReply, status: number): void => {
    if (request.routeOptions.config.logged === false) return;
    const [path = '/'] = request.url.split('?', 1);
    const trace = parseTraceparent(request.headers.traceparent);
    log.info(
      {
        requestId: request.id,
        ...(trace === null ? {} : { traceId: trace.traceId }),
        method: request.method,
        path: path.slice(0, 200),
        status,
        ms: Math.round(reply.elapsedTime * 10) / 10,
        caller: callers.find(request.raw)?.caller.id ?? null,
      },
      'request',
    );
  };
  app.addHook('onResponse', (request, reply, done) => {
    write(request, reply, reply.statusCode);
    done();
  });
}

/** Calls back at the end of each request that is not a probe or a scrape. */
export function observeRequests(app: FastifyInstance, onRequest: OnRequest): void {
  app.addHook('onResponse', ({ method, routeOptions }, reply, done) => {
    const { url, config } = routeOptions;
    if (config.logged !== false) {
      onRequest({ method, route: url ?? null, status: reply.statusCode, durationMs: reply.elapsedTime });
    }
    done();
  });
}
