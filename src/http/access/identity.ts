import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Caller } from '../../jobs/job.ts';
import type { Clock } from '../../jobs/ports.ts';
import { networkOf, type Peers } from '../peers.ts';
import { type ApiKey, callerOfKey, createKeyring } from './api-keys.ts';
import { type Policies, policyOf } from './policies.ts';
import type { Tokens } from './tokens.ts';

/** The credentials of a request. Never read from a URL, since URLs end up in logs and histories. */
export interface Credentials {
  /** `Bearer <key or token>`. */
  readonly authorization: string | undefined;
  readonly apiKey: string | undefined;
}

/** The identified caller of a request. */
export interface Known {
  readonly caller: Caller;
  /** When its credentials expire, in milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
}

export type Identified =
  | ({ readonly ok: true } & Known)
  | { ok: false; reason: 'missing' | 'invalid' | 'unavailable' };

/** Identifies callers by their credentials. */
export interface Identity {
  /** False: neither keys nor tokens are configured, and every caller is the operator. */
  readonly required: boolean;
  /** A promise only where something has to be computed or fetched. */
  identify(credentials: Credentials): Identified | Promise<Identified>;
}

/** The caller of every request where neither keys nor tokens are configured. */
const ANONYMOUS_OPERATOR: Caller = { id: null, operator: true };

/** Identifies by keys, tokens (null: none are accepted) or both. With neither, every caller is the operator. */
export function createIdentity({
  keys,
  tokens,
  policies = new Map(),
  now = Date.now,
}: {
  readonly keys: readonly ApiKey[];
  readonly tokens: Tokens | null;
  /** Those that keys name. */
  readonly policies?: Policies;
  readonly now?: Clock;
}): Identity {
  if (keys.length === 0 && tokens === null) {
    const anonymous: Identified = { ok: true, caller: ANONYMOUS_OPERATOR, expiresAt: null };
    return { required: false, identify: () => anonymous };
  }
  const keyring = createKeyring(keys);

  async function byKey(key: string): Promise<Identified> {
    const found = await keyring.find(key);
    if (found === null) return { ok: false, reason: 'invalid' };
    if (found === 'busy') return { ok: false, reason: 'unavailable' };
    const { name, until, policy } = found;
    if (until !== null && until <= now()) return { ok: false, reason: 'invalid' };
    const operator = found.role === 'operator';
    const caller = { id: callerOfKey(name), operator, ...policyOf(policies, policy, operator) };
    return { ok: true, caller, expiresAt: until };
  }

  return {
    required: true,
    async identify({ authorization, apiKey }) {
      if (apiKey !== undefined) return byKey(apiKey);
      if (authorization === undefined) return { ok: false, reason: 'missing' };
      const bearer = bearerOf(authorization);
      if (bearer === null) return { ok: false, reason: 'invalid' };
      // A JWS has three parts separated by dots (RFC 7515, 7.1); keys have no dots.
      if (tokens !== null && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(bearer)) return tokens.verify(bearer);
      return byKey(bearer);
    },
  };
}

/** The key or token in a header `Authorization`; null for another scheme. */
export function bearerOf(authorization: string): string | null {
  return /^Bearer +(\S+)$/i.exec(authorization.trim())?.[1] ?? null;
}

/** The credentials in the headers `Authorization` and `X-API-Key`. */
export function headerCredentials(headers: IncomingHttpHeaders): Credentials {
  const apiKey = headers['x-api-key'];
  return {
    authorization: headers.authorization,
    // Node joins repeated headers by commas, which no key contains.
    apiKey: typeof apiKey === 'string' ? apiKey : undefined,
  };
}

/** The credentials in a `connection_init` payload, under any name that clients use; null: it has none. */
export function payloadCredentials(
  payload: Readonly<Record<string, unknown>> | undefined,
): Credentials | null {
  let authorization: string | undefined;
  let apiKey: string | undefined;
  for (const [name, value] of Object.entries(payload ?? {})) {
    if (typeof value !== 'string') continue;
    const plain = name.toLowerCase().replaceAll(/[-_]/g, '');
    if (plain === 'authorization') authorization = value;
    if (plain === 'apikey' || plain === 'xapikey') apiKey = value;
  }
  return authorization === undefined && apiKey === undefined ? null : { authorization, apiKey };
}

/** Keeps the caller of each request for as long as the request lives. */
export interface Callers {
  remember(request: IncomingMessage, known: Known): void;
  /** Throws for a request that passed the gate as public: a mistake in a route's `config`, never of the caller. */
  of(request: IncomingMessage): Known;
  /** Null: it was rejected before its caller was identified, or its route is public. */
  find(request: IncomingMessage): Known | null;
}

/** How anonymous callers share the queue: all as one, or by address. */
export type FairBy = 'caller' | 'address';

/** The caller with its share in the fair queue: an anonymous one's is its address when `fairBy` says so. */
export function withShare(known: Known, fairBy: FairBy, address: string | undefined): Known {
  if (fairBy === 'caller' || known.caller.id !== null || address === undefined) return known;
  return { ...known, caller: { ...known.caller, share: `address ${networkOf(address)}` } };
}

/** The key under which requests are counted together: the caller, or the address of an anonymous one. */
export function clientKeyOf(callerId: string | null, address: string | undefined): string {
  return callerId === null ? `address ${networkOf(address ?? '')}` : `caller ${callerId}`;
}

/** A property of the request: the garbage collector would have to visit each entry of a WeakMap. */
const KNOWN = Symbol('caller');

interface KnownRequest extends IncomingMessage {
  [KNOWN]?: Known;
}

export function createCallers(fairBy: FairBy, peers: Peers): Callers {
  return {
    remember(request: KnownRequest, known) {
      request[KNOWN] = fairBy === 'caller' ? known : withShare(known, fairBy, peers.addressOf(request));
    },
    of(request: KnownRequest) {
      const found = request[KNOWN];
      if (found === undefined) throw new Error('A request reached a route before its caller was identified');
      return found;
    },
    find: (request: KnownRequest) => request[KNOWN] ?? null,
  };
}
