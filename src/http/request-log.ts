import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { parseTraceparent } from '../jobs/trace.ts';
import type { Log } from '../log.ts';
import type { OnRequest } from '../telemetry/request-metrics.ts';
import type { Callers } from './access/identity.ts';

/** Ids that clients and proxies make: UUIDs, ULIDs, `req_…`, trace ids. Anything else could forge log lines. */
const REQUEST_ID = /^[\w.:=@/+-]{1,128}$/;

/** The `X-Request-Id` of a request, or a new one if it sends none or one that is not a plain word. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : newRequestId();
}

/** Not `randomUUID` alone: Node puts a UUID together from parts, which stay apart and take ten times the memory. */
function newRequestId(): string {
  return Buffer.from(randomUUID(), 'latin1').toString('latin1');
}

/** Returns the id of each request in `X-Request-Id`, so that a caller can name it in a report. */
export function addRequestIds(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
}

/** A request whose response was sent. */
export interface Finished {
  readonly request: IncomingMessage;
  readonly id: string;
  /** The pattern of its route, such as `/status/:job_id`; null: no route. */
  readonly route: string | null;
  /** False: a probe or a scrape, which is neither logged nor counted. */
  readonly logged: boolean;
  readonly status: number;
  /** Milliseconds since it arrived. */
  readonly ms: number;
}

/** Called once at the end of each request. */
export type OnFinished = (finished: Finished) => void;

/**
 * Counts each request and, with a `log`, logs it at `info`: never its query, headers or body. Events of a WebSocket are
 * operations, not requests.
 */
export function createRequestReports(callers: Callers, onRequest: OnRequest, log: Log | null): OnFinished {
  return ({ request, id, route, logged, status, ms }) => {
    if (!logged) return;
    const { method = '', url = '' } = request;
    onRequest({ method, route, status, durationMs: ms });
    if (log === null) return;
    const [path = '/'] = url.split('?', 1);
    const trace = parseTraceparent(request.headers.traceparent);
    log.info(
      {
        requestId: id,
        ...(trace === null ? {} : { traceId: trace.traceId }),
        method,
        path: path.slice(0, 200),
        status,
        ms: Math.round(ms * 10) / 10,
        caller: callers.find(request)?.caller.id ?? null,
      },
      'request',
    );
  };
}

/** Reports the requests that Fastify answers. */
export function reportRequests(app: FastifyInstance, onFinished: OnFinished): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { url: route, config } = request.routeOptions;
    const { statusCode: status, elapsedTime: ms } = reply;
    const logged = config.logged !== false;
    onFinished({ request: request.raw, id: request.id, route: route ?? null, logged, status, ms });
    done();
  });
}
