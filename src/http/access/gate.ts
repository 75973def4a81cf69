import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { SubscriptionQuota } from '../../operations/quota.ts';
import type { RateAnswer } from '../../rate.ts';
import { GRAPHQL_PATH } from '../graphql/graphiql.ts';
import type { HeldBytes } from '../limits/held-bytes.ts';
import { holdBody, mayBeLarge } from '../limits/held-bytes.ts';
import type { Streams } from '../limits/lifetime.ts';
import type { RateLimiter } from '../limits/rate.ts';
import { holderOf, type Peers } from '../peers.ts';
import { DOCS_PATH } from '../rest/docs.ts';
import { STATUS_PATH } from '../rest/status.ts';
import { UPLOAD_PATH } from '../rest/uploads.ts';
import type { Callers } from './callers.ts';
import type { Identified, Identity } from './identity.ts';
import { headerCredentials } from './identity.ts';
import {
  FOREIGN_NAME,
  identityRefusal,
  OPERATORS_ONLY,
  type Refusal,
  refuseGraphQL,
  refuseRest,
} from './rejections.ts';

export interface GateOptions {
  readonly identity: Identity;
  readonly callers: Callers;
  readonly peers: Peers;
  /** Null: no limit. */
  readonly rate: RateLimiter | null;
  readonly quota: SubscriptionQuota;
  /** Bounds the bodies that are in memory. */
  readonly heldBytes: HeldBytes;
  /** Whether the name that was asked for (Host) is one of ours. */
  readonly isOurs: (host: string | undefined) => boolean;
  /** Ends what stays open. */
  readonly streams: Streams;
  /** Whether the request is for the page with GraphiQL, which holds nothing of anybody's. */
  readonly isPage: (request: FastifyRequest) => boolean;
}

const BUSY: Refusal = {
  status: 503,
  code: 'UNAVAILABLE',
  message: 'Too many large requests are under way, try again later',
  headers: { 'retry-after': '5', connection: 'close' },
};

const PUBLIC_ROUTES: ReadonlySet<string> = new Set(['/', '/openapi.json', DOCS_PATH]);

/**
 * Stands before every route: asks who comes, counts, and turns away. A route that is not named here as public is not
 * reached by anybody who is not known, so a new one is closed until somebody opens it.
 */
export function addGate(app: FastifyInstance, options: GateOptions): void {
  const gate = { ...options, isOurs: rememberLast(options.isOurs) };
  app.addHook('onRequest', (request, reply, done) => {
    // Each look at the options makes them anew.
    const { url } = request.routeOptions;
    if (url === undefined || isPublic(request, url)) return done();
    if (url === GRAPHQL_PATH && gate.isPage(request)) return done();
    const settle = (refusal: Refusal | null): void => {
      if (refusal === null) done();
      else if (url === GRAPHQL_PATH) refuseGraphQL(request, reply, refusal);
      else refuseRest(reply, refusal);
    };
    const refusal = judge(gate, request, reply, url);
    if (refusal instanceof Promise) refusal.then(settle, done);
    else settle(refusal);
  });
}

/** A promise only where somebody else has to be asked: most requests are let in at once. */
function judge(
  gate: GateOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  url: string,
): Refusal | null | Promise<Refusal | null> {
  if (!gate.isOurs(request.headers.host)) return FOREIGN_NAME;
  return after(gate.identity.identify(headerCredentials(request.headers)), found => {
    if (gate.rate === null) return admit(gate, request, reply, url, found);
    const callerId = found.ok ? found.caller.id : null;
    const taken = gate.rate.take(rateKey(callerId, gate.peers.addressOf(request.raw)));
    return after(taken, answer => {
      reply.headers(rateHeaders(answer));
      return answer.ok ? admit(gate, request, reply, url, found) : rateRefusal(answer);
    });
  });
}

function admit(
  { callers, peers, quota, heldBytes, streams }: GateOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  url: string,
  found: Identified,
): Refusal | null {
  if (!found.ok) return identityRefusal(found.reason);
  if (url.startsWith('/debug/') && !found.caller.operator) return OPERATORS_ONLY;
  if (staysOpen(url, request)) {
    const leave = quota.enter(rateKey(found.caller.id, peers.addressOf(request.raw)));
    if (leave === null) return tooManyStreams(quota.perCaller);
    reply.raw.once('close', leave);
    streams.add(reply.raw, found.expiresAt);
  }
  if (url !== UPLOAD_PATH && mayBeLarge(request.headers)) {
    if (heldBytes.full()) return BUSY;
    holdBody(heldBytes, rateKey(found.caller.id, peers.addressOf(request.raw)), request.raw, reply.raw);
  }
  callers.remember(request.raw, found);
  return null;
}

/** Streams of events, and polls that wait for a change. */
function staysOpen(url: string, { query }: FastifyRequest): boolean {
  if (url.startsWith('/events/')) return true;
  return url === STATUS_PATH && typeof query === 'object' && query !== null && 'wait' in query;
}

/** Goes on at once where there is nothing to wait for. */
function after<T, U>(value: T | Promise<T>, next: (value: T) => U | Promise<U>): U | Promise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Most requests ask for the same name as the one before. */
function rememberLast(isOurs: (host: string | undefined) => boolean): (host: string | undefined) => boolean {
  let last: { readonly host: string | undefined; readonly ours: boolean } | null = null;
  return host => {
    if (last === null || last.host !== host) last = { host, ours: isOurs(host) };
    return last.ours;
  };
}

/** Whose requests are counted together: a caller's, or an address's while its callers are not known. */
export function rateKey(callerId: string | null, address: string | undefined): string {
  return callerId === null ? `address ${holderOf(address ?? '')}` : `caller ${callerId}`;
}

/** What somebody who asked too often is told. */
export function rateRefusal({ limit, retryAfterMs }: RateAnswer): Refusal {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  return {
    status: 429,
    code: 'RATE_LIMITED',
    message: `Too many requests, try again in ${seconds} s`,
    headers: {
      'retry-after': String(seconds),
      'x-ratelimit-limit': String(limit),
      'x-ratelimit-remaining': '0',
    },
  };
}

function tooManyStreams(limit: number): Refusal {
  return {
    status: 429,
    code: 'RATE_LIMITED',
    message: `At most ${limit} subscriptions at once for one caller`,
    headers: { 'retry-after': '10' },
  };
}

function rateHeaders({ limit, remaining }: RateAnswer): Record<string, string> {
  return { 'x-ratelimit-limit': String(limit), 'x-ratelimit-remaining': String(remaining) };
}

function isPublic(request: FastifyRequest, url: string): boolean {
  // A path without a route has nothing behind it; CORS' questions carry no credentials.
  if (request.is404 || request.method === 'OPTIONS') return true;
  return PUBLIC_ROUTES.has(url) || url.startsWith(`${DOCS_PATH}/`);
}
