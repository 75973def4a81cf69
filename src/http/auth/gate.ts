import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GRAPHQL_PATH } from '../graphql/page.ts';
import type { RateAnswer, RateLimiter } from '../limits/rate.ts';
import { limitStream } from '../limits/streams.ts';
import type { WatchQuota } from '../limits/subscriptions.ts';
import { DOCS_PATH } from '../rest/docs.ts';
import type { Callers } from './callers.ts';
import { headerCredentials } from './credentials.ts';
import type { Identity } from './identity.ts';
import {
  FOREIGN_NAME,
  identityRefusal,
  OPERATORS_ONLY,
  type Refusal,
  refuseGraphQL,
  refuseRest,
} from './refusals.ts';

export interface GateOptions {
  readonly identity: Identity;
  readonly callers: Callers;
  /** Null: no limit. */
  readonly rate: RateLimiter | null;
  readonly quota: WatchQuota;
  /** Whether the name that was asked for (Host) is one of ours. */
  readonly isOurs: (host: string | undefined) => boolean;
  /** How long an event stream may stay, in milliseconds. */
  readonly lifetimeMs: number;
  /** Whether the request is for the page with GraphiQL, which holds nothing of anybody's. */
  readonly isPage: (request: FastifyRequest) => boolean;
}

const PUBLIC_ROUTES: ReadonlySet<string> = new Set(['/', '/openapi.json', DOCS_PATH]);

/**
 * Stands before every route: asks who comes, counts, and turns away. A route that is not named here as public is not
 * reached by anybody who is not known, so a new one is closed until somebody opens it.
 */
export function addGate(app: FastifyInstance, options: GateOptions): void {
  app.addHook('onRequest', async (request, reply) => {
    if (isPublic(request) || options.isPage(request)) return;
    const refusal = await judge(options, request, reply);
    if (refusal === null) return;
    if (request.routeOptions.url === GRAPHQL_PATH) return refuseGraphQL(request, reply, refusal);
    return refuseRest(reply, refusal);
  });
}

async function judge(
  { identity, callers, rate, quota, isOurs, lifetimeMs }: GateOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Refusal | null> {
  if (!isOurs(request.headers.host)) return FOREIGN_NAME;
  const found = await identity.identify(headerCredentials(request.headers));
  const caller = found.ok ? found.caller : null;
  const answer = rate?.take(rateKey(caller?.id ?? null, request.ip));
  if (answer !== undefined) reply.headers(rateHeaders(answer));
  if (answer?.ok === false) return rateRefusal(answer);
  if (!found.ok) return identityRefusal(found.reason);
  if (request.routeOptions.url?.startsWith('/debug/') && !found.caller.operator) return OPERATORS_ONLY;
  if (request.routeOptions.url?.startsWith('/events/')) {
    const leave = quota.enter(rateKey(found.caller.id, request.ip));
    if (leave === null) return tooManyStreams(quota.perCaller);
    reply.raw.once('close', leave);
    limitStream(reply, found.expiresAt, lifetimeMs);
  }
  callers.remember(request.raw, { caller: found.caller, expiresAt: found.expiresAt });
  return null;
}

/** Whose requests are counted together: a caller's, or an address's while its callers are not known. */
export function rateKey(callerId: string | null, address: string | undefined): string {
  return callerId === null ? `address ${address ?? ''}` : `caller ${callerId}`;
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

function isPublic(request: FastifyRequest): boolean {
  // A path without a route has nothing behind it; CORS' questions carry no credentials.
  const { url } = request.routeOptions;
  if (url === undefined || request.is404 || request.method === 'OPTIONS') return true;
  return PUBLIC_ROUTES.has(url) || url.startsWith(`${DOCS_PATH}/`);
}
