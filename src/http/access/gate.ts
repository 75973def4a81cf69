import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { SignedImageUrls } from '../../jobs/image-urls.ts';
import type { SubscriptionQuota } from '../../operations/quota.ts';
import { type HeldBytes, holdBody, mayBeLarge } from '../limits/held-bytes.ts';
import type { Streams } from '../limits/lifetime.ts';
import type { RateLimiter } from '../limits/rate.ts';
import type { Peers } from '../peers.ts';
import { type Callers, clientKeyOf, headerCredentials, type Identified, type Identity } from './identity.ts';
import {
  type Admitted,
  FOREIGN_HOST,
  identityRejection,
  OPERATORS_ONLY,
  type Rejection,
  rateRejection,
  rejectAsRest,
  type SendRejection,
  streamsRejection,
  TOO_MUCH_HELD,
} from './rejections.ts';

/**
 * Callers that a route admits: all without identifying them, identified ones, operators, or engines, whose keys open no other
 * route and which no other key lets through.
 */
export type Access = 'public' | 'caller' | 'operator' | 'engine';

/** How long a response stays open. A `stream` counts against its caller's quota, and is ended when its time is over. */
export type Lifetime = 'short' | 'stream';

/** What a route declares about itself in Fastify's route `config`. A route without any is closed to the unidentified. */
export interface RouteRules {
  /** Default: `caller`. */
  readonly access?: Access | ((request: FastifyRequest) => Access);
  /** Default: `short`. */
  readonly lifetime?: Lifetime | ((request: FastifyRequest) => Lifetime);
  /** Whether a signed URL stands in for credentials. Default: false. */
  readonly signed?: boolean;
  /** Whether request bodies are `held` in memory, where they count against a limit, or `streamed`. Default: `held`. */
  readonly body?: 'held' | 'streamed';
  /** Formats the gate's rejections. Default: as REST does. */
  readonly reject?: SendRejection;
  /** Whether LOG_REQUESTS logs its requests. Default: true. */
  readonly logged?: boolean;
}

declare module 'fastify' {
  interface FastifyContextConfig extends RouteRules {}
}

export interface GateOptions {
  readonly identity: Identity;
  /** Identifies engines. */
  readonly engineIdentity: Identity;
  readonly callers: Callers;
  readonly peers: Peers;
  /** Null: no limit. */
  readonly rate: RateLimiter | null;
  readonly quota: SubscriptionQuota;
  readonly heldBytes: HeldBytes;
  /** Whether a Host header names this gateway. */
  readonly isOwnHost: (host: string | undefined) => boolean;
  readonly streams: Streams;
  /** Verifies the URLs of images; null: they are not signed. */
  readonly imageUrls: Pick<SignedImageUrls, 'verify'> | null;
}

/**
 * Guards every route by its `config`: identifies the caller, applies the rate and the limits on streams and bodies, and
 * rejects what they do not admit.
 */
export function addGate(app: FastifyInstance, options: GateOptions): void {
  const gate = { ...options, isOwnHost: rememberLast(options.isOwnHost) };
  app.addHook('onRequest', (request, reply, done) => {
    // Nothing is behind a path without a route; CORS preflights carry no credentials.
    if (request.is404 || request.method === 'OPTIONS') return done();
    // Read once: `routeOptions` is a new object at each access.
    const { config } = request.routeOptions;
    const access = resolve(config.access, request) ?? 'caller';
    if (access === 'public') return done();
    const settle = (rejection: Rejection | null): void => {
      if (rejection === null) done();
      else (config.reject ?? rejectAsRest)(request, reply, rejection);
    };
    const rejection = judge(gate, request, reply, config, access);
    if (rejection instanceof Promise) rejection.then(settle, done);
    else settle(rejection);
  });
}

/** A promise only where a key, a token or a shared rate has to be waited for: most requests are admitted at once. */
function judge(
  gate: GateOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  rules: RouteRules,
  access: Access,
): Rejection | null | Promise<Rejection | null> {
  if (!gate.isOwnHost(request.headers.host)) return FOREIGN_HOST;
  return after(identify(gate, request, rules, access), found => {
    // Engines repeat their registrations, many with one key.
    if (gate.rate === null || (access === 'engine' && found.ok))
      return admit(gate, request, reply, rules, access, found);
    const callerId = found.ok ? found.caller.id : null;
    const taken = gate.rate.take(clientKeyOf(callerId, gate.peers.addressOf(request.raw)));
    return after(taken, answer => {
      const { limit, remaining } = answer;
      reply.headers({ 'x-ratelimit-limit': String(limit), 'x-ratelimit-remaining': String(remaining) });
      return answer.ok ? admit(gate, request, reply, rules, access, found) : rateRejection(answer);
    });
  });
}

/** By the credentials in the headers or, without any, by the URL's signature where the route takes one. */
function identify(
  { identity, engineIdentity, imageUrls }: GateOptions,
  request: FastifyRequest,
  rules: RouteRules,
  access: Access,
): Admitted | Promise<Admitted> {
  const credentials = headerCredentials(request.headers);
  if (access === 'engine') return engineIdentity.identify(credentials);
  const none = credentials.authorization === undefined && credentials.apiKey === undefined;
  if (imageUrls === null || rules.signed !== true || !none) return identity.identify(credentials);
  const [path = ''] = request.url.split('?', 1);
  const verdict = imageUrls.verify(path, queryOf(request));
  switch (verdict) {
    case 'unsigned':
      return identity.identify(credentials);
    case 'valid':
      return HOLDER_OF_URL;
    case 'expired':
    case 'invalid':
      return { ok: false, reason: verdict === 'expired' ? 'url-expired' : 'url-invalid' };
    default:
      return verdict satisfies never;
  }
}

/** Sees every job, but only through the route and for the image that its URL is signed for. */
const HOLDER_OF_URL: Identified = { ok: true, caller: { id: null, operator: true }, expiresAt: null };

function queryOf({ query }: FastifyRequest): Readonly<Record<string, unknown>> {
  return typeof query === 'object' && query !== null ? { ...query } : {};
}

function admit(
  { callers, peers, quota, heldBytes, streams }: GateOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  rules: RouteRules,
  access: Access,
  found: Admitted,
): Rejection | null {
  if (!found.ok) return identityRejection(found.reason);
  if (access === 'operator' && !found.caller.operator) return OPERATORS_ONLY;
  if (resolve(rules.lifetime, request) === 'stream') {
    const leave = quota.enter(clientKeyOf(found.caller.id, peers.addressOf(request.raw)));
    if (leave === null) return streamsRejection(quota.perCaller);
    reply.raw.once('close', leave);
    streams.add(reply.raw, found.expiresAt);
  }
  if (rules.body !== 'streamed' && mayBeLarge(request.headers)) {
    if (heldBytes.full()) return TOO_MUCH_HELD;
    const key = clientKeyOf(found.caller.id, peers.addressOf(request.raw));
    holdBody(heldBytes, key, request.raw, reply.raw);
  }
  callers.remember(request.raw, found);
  return null;
}

function resolve<T extends string>(
  rule: T | ((request: FastifyRequest) => T) | undefined,
  request: FastifyRequest,
): T | undefined {
  return typeof rule === 'function' ? rule(request) : rule;
}

/** Continues synchronously with a value that is not a promise. */
function after<T, U>(value: T | Promise<T>, next: (value: T) => U | Promise<U>): U | Promise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Caches the newest result: most requests name the same host as the one before. */
function rememberLast(isOwnHost: (host: string | undefined) => boolean) {
  let last: { readonly host: string | undefined; readonly own: boolean } | null = null;
  return (host: string | undefined): boolean => {
    if (last === null || last.host !== host) last = { host, own: isOwnHost(host) };
    return last.own;
  };
}
