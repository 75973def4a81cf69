import type { IncomingMessage, OutgoingHttpHeaders, RequestListener, ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, RouteOptions } from 'fastify';
import type { Gate, RouteRules, Verdict } from './access/gate.ts';
import type { CheckOrigin } from './limits/foreign-origins.ts';
import { type OnFinished, requestIdOf } from './request-log.ts';

/** A response that is complete. */
export interface DirectResponse {
  readonly status: number;
  /** Names and values in turn, as `writeHead` takes them, without those of every response and the length. */
  readonly headers: readonly string[];
  readonly body: string;
}

/**
 * How a route answers its usual requests without Fastify, which takes as long as a small response by itself. Declared in
 * the route's `config`, beside its rules, which hold here too.
 */
export interface Direct {
  /** Whether a request with the route's method is one of them. One with a query, or that stays open, is not. */
  matches(request: IncomingMessage): boolean;
  /** Null, or a rejection: the route's handler answers, and formats every error. The body may have been read by then. */
  answer(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
  ): DirectResponse | null | Promise<DirectResponse | null>;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    direct?: Direct;
  }
}

export interface DirectOptions {
  readonly gate: Gate;
  /** The headers of every response. */
  readonly always: OutgoingHttpHeaders;
  readonly checkOrigin: CheckOrigin;
  readonly onFinished: OnFinished;
}

/** The way of requests that are answered before Fastify. */
export interface DirectPath {
  /** Takes the routes that are registered from now on and declare `direct`, until `app` closes. */
  addRoutes(app: FastifyInstance): void;
  /** Answers what it can, and leaves everything else to `fastify`. */
  listener(fastify: RequestListener): RequestListener;
}

interface DirectRoute {
  readonly method: string;
  readonly pattern: string;
  readonly rules: RouteRules;
  readonly direct: Direct;
}

/** A request on its way through. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly route: DirectRoute;
  readonly id: string;
  readonly startedAt: number;
  readonly fastify: RequestListener;
}

/** A response that is sent at the end of the turn. */
interface Held {
  readonly exchange: Exchange;
  readonly verdict: Verdict;
  readonly answer: DirectResponse;
}

const NO_QUERY = {};

/**
 * Answers requests to routes that declare `direct` with the gate, headers, ids and reports that Fastify's hooks use. It has
 * no rules and no errors of its own: a request that is rejected, or fails, goes on to Fastify with the gate's verdict.
 *
 * The responses of one turn of the event loop are written together at its end. A client on the same machine then wakes up
 * once for all of them, and not for each while the gateway waits for the core: writes are most of a small response's time.
 */
export function createDirectPath({ gate, always, checkOrigin, onFinished }: DirectOptions): DirectPath {
  const routes: DirectRoute[] = [];
  const constant = Object.entries(always).flatMap(([name, value]) => [name, String(value)]);
  let held: Held[] = [];
  let closing = false;

  function routeOf(request: IncomingMessage): DirectRoute | null {
    for (const route of routes) {
      if (route.method === request.method && route.direct.matches(request)) return route;
    }
    return null;
  }

  function take(exchange: Exchange): void {
    const { request, response, route } = exchange;
    const { method = '', url = '', headers } = request;
    const judged = { method, url, headers, query: NO_QUERY, raw: request };
    const verdict = gate.judge(judged, response, route.rules);
    if (verdict instanceof Promise) {
      verdict.then(
        given => admit(exchange, given),
        () => leave(exchange),
      );
    } else admit(exchange, verdict);
  }

  function admit(exchange: Exchange, verdict: Verdict): void {
    const { request, response, route, id } = exchange;
    const answer = verdict.rejection === null ? route.direct.answer(request, response, id) : null;
    if (answer instanceof Promise) {
      answer.then(
        given => hold(exchange, verdict, given),
        // The route's handler meets the error again, such as that of a store that is out of reach, and answers it.
        () => leave(exchange),
      );
    } else hold(exchange, verdict, answer);
  }

  function leave({ request, response, fastify }: Exchange): void {
    // Without a connection there is nothing to answer.
    if (!request.socket.destroyed) fastify(request, response);
  }

  function hold(exchange: Exchange, verdict: Verdict, answer: DirectResponse | null): void {
    if (answer === null) leave(exchange);
    else if (held.push({ exchange, verdict, answer }) === 1) setImmediate(sendAll);
  }

  function sendAll(): void {
    const all = held;
    held = [];
    for (const one of all) send(one);
  }

  function send({ exchange, verdict, answer }: Held): void {
    const { request, response, route, id, startedAt } = exchange;
    const { status, headers, body } = answer;
    const { origin, host } = request.headers;
    if (origin !== undefined) checkOrigin(origin, host);
    const bytes = Buffer.byteLength(body);
    const all = constant.concat(headers, 'x-request-id', id, 'content-length', String(bytes));
    for (const name in verdict.headers) all.push(name, verdict.headers[name] ?? '');
    // As many bytes as characters: ASCII, which is written faster when Node need not find that out.
    response.writeHead(status, all).end(body, bytes === body.length ? 'latin1' : 'utf8');
    onFinished({
      request,
      id,
      route: route.pattern,
      logged: true,
      status,
      ms: performance.now() - startedAt,
    });
  }

  return {
    addRoutes(app) {
      app.addHook('onRoute', ({ method, url, config }: RouteOptions) => {
        if (config?.direct === undefined) return;
        for (const one of [method].flat()) {
          // A response to HEAD has the headers of GET and no body, which is left to Fastify.
          if (one !== 'HEAD')
            routes.push({ method: one, pattern: url, rules: config, direct: config.direct });
        }
      });
      // From then on Fastify answers 503.
      app.addHook('preClose', done => {
        closing = true;
        done();
      });
    },
    listener: fastify => (request, response) => {
      const route = closing ? null : routeOf(request);
      if (route === null) fastify(request, response);
      else
        take({ request, response, route, id: requestIdOf(request), startedAt: performance.now(), fastify });
    },
  };
}

/** Sends the same response by Fastify. */
export function sendDirect(reply: FastifyReply, { status, headers, body }: DirectResponse): FastifyReply {
  for (let at = 0; at + 1 < headers.length; at += 2) reply.header(headers[at] ?? '', headers[at + 1]);
  return reply.code(status).send(body);
}
