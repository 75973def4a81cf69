import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { SignedImageUrls } from '../../jobs/image-urls.ts';
import type { SubscriptionQuota } from '../../operations/quota.ts';
import { onceClosed } from '../closed.ts';
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

/** What rules judge a request by. */
export type Judged = Pick<FastifyRequest, 'method' | 'url' | 'headers' | 'query' | 'raw'>;

/** What a route declares about itself in Fastify's route `config`. A route without any is closed to the unidentified. */
export interface RouteRules {
  /** Default: `caller`. */
  readonly access?: Access | ((request: Judged) => Access);
  /** Default: `short`. */
  readonly lifetime?: Lifetime | ((request: Judged) => Lifetime);
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

/** What became of a request at the gate. */
export interface Verdict {
  /** Null: it is admitted. */
  readonly rejection: Rejection | null;
  /** The rate's, for the response to either. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Admits and rejects requests. */
export interface Gate {
  /**
   * Judges a request by the rules of its route. Once: a request that is judged again, because another part of the server
   * has to answer it, keeps its verdict and is not counted twice. A promise only where a key, a token or a shared rate
   * has to be waited for: most requests are admitted at once.
   */
  judge(request: Judged, response: ServerResponse, rules: RouteRules): Verdict | Promise<Verdict>;
}

const NO_HEADERS: Readonly<Record<string, string>> = {};
const ADMITTED: Verdict = { rejection: null, headers: NO_HEADERS };

/** A property of the request, as its caller is. */
const VERDICT = Symbol('verdict');

interface JudgedMessage extends IncomingMessage {
  [VERDICT]?: Verdict | Promise<Verdict>;
}

/** Identifies callers, and applies the rate and the limits on streams and bodies. */
export function createGate(options: GateOptions): Gate {
  const gate = { ...options, isOwnHost: rememberLast(options.isOwnHost) };
  return {
    judge(request, response, rules) {
      const message: JudgedMessage = request.raw;
      message[VERDICT] ??= judge(gate, request, response, rules);
      return message[VERDICT];
    },
  };
}

/** Guards every route of Fastify by its `config`, and sends the rejections. */
export function addGate(app: FastifyInstance, gate: Gate): void {
  app.addHook('onRequest', (request, reply, done) => {
    // Nothing is behind a path without a route; CORS preflights carry no credentials.
    if (request.is404 || request.method === 'OPTIONS') return done();
    // Read once: `routeOptions` is a new object at each access.
    const { config } = request.routeOptions;
    const settle = ({ rejection, headers }: Verdict): void => {
      if (headers !== NO_HEADERS) reply.headers(headers);
      if (rejection === null) done();
      else (config.reject ?? rejectAsRest)(request, reply, rejection);
    };
    const verdict = gate.judge(request, reply.raw, config);
    if (verdict instanceof Promise) verdict.then(settle, done);
    else settle(verdict);
  });
}

function judge(
  gate: GateOptions,
  request: Judged,
  response: ServerResponse,
  rules: RouteRules,
): Verdict | Promise<Verdict> {
  const access = resolve(rules.access, request) ?? 'caller';
  if (access === 'public') return ADMITTED;
  if (!gate.isOwnHost(request.headers.host)) return { rejection: FOREIGN_HOST, headers: NO_HEADERS };
  return after(identify(gate, request, rules, access), found => {
    // Engines repeat their registrations, many with one key.
    if (gate.rate === null || (access === 'engine' && found.ok))
      return verdictOf(admit(gate, request, response, rules, access, found), NO_HEADERS);
    const callerId = found.ok ? found.caller.id : null;
    const taken = gate.rate.take(clientKeyOf(callerId, gate.peers.addressOf(request.raw)));
    return after(taken, answer => {
      const { limit, remaining } = answer;
      const headers = { 'x-ratelimit-limit': String(limit), 'x-ratelimit-remaining': String(remaining) };
      if (!answer.ok) return verdictOf(rateRejection(answer), headers);
      return verdictOf(admit(gate, request, response, rules, access, found), headers);
    });
  });
}

function verdictOf(rejection: Rejection | null, headers: Verdict['headers']): Verdict {
  return rejection === null && headers === NO_HEADERS ? ADMITTED : { rejection, headers };
}

/** By the credentials in the headers or, without any, by the URL's signature where the route takes one. */
function identify(
  { identity, engineIdentity, imageUrls }: GateOptions,
  request: Judged,
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

function queryOf({ query }: Judged): Readonly<Record<string, unknown>> {
  return typeof query === 'object' && query !== null ? { ...query } : {};
}

function admit(
  { callers, peers, quota, heldBytes, streams }: GateOptions,
  request: Judged,
  response: ServerResponse,
  rules: RouteRules,
  access: Access,
  found: Admitted,
): Rejection | null {
  if (!found.ok) return identityRejection(found.reason);
  if (access === 'operator' && !found.caller.operator) return OPERATORS_ONLY;
  if (resolve(rules.lifetime, request) === 'stream') {
    const key = clientKeyOf(found.caller.id, peers.addressOf(request.raw));
    if (!quota.enter(key)) return streamsRejection(quota.perCaller);
    onceClosed(response, () => quota.leave(key));
    streams.add(response, found.expiresAt);
  }
  if (rules.body !== 'streamed' && mayBeLarge(request.headers)) {
    if (heldBytes.full()) return TOO_MUCH_HELD;
    const key = clientKeyOf(found.caller.id, peers.addressOf(request.raw));
    holdBody(heldBytes, key, request.raw, response);
  }
  callers.remember(request.raw, found);
  return null;
}

function resolve<T extends string>(
  rule: T | ((request: Judged) => T) | undefined,
  request: Judged,
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
