import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from '../../jobs/caller.ts';
import { type ApiKey, createKeyring } from './api-keys.ts';
import type { Tokens } from './tokens.ts';

/** What somebody shows of themselves; never taken from a URL, which ends up in logs and histories. */
export interface Credentials {
  /** `Bearer <key or token>`. */
  readonly authorization: string | undefined;
  readonly apiKey: string | undefined;
}

export type Identified =
  /** `expiresAt`: milliseconds since 1970, null for credentials without an end. */
  | { ok: true; caller: Caller; expiresAt: number | null }
  | { ok: false; reason: 'missing' | 'invalid' | 'unavailable' };

/** Tells callers apart. */
export interface Identity {
  /** False when nobody is told apart: then everybody is the operator. */
  readonly required: boolean;
  /** A promise only where something has to be computed or asked. */
  identify(credentials: Credentials): Identified | Promise<Identified>;
}

export interface IdentityOptions {
  readonly keys: readonly ApiKey[];
  /** Null: no tokens are taken. */
  readonly tokens: Tokens | null;
}

/** Nobody is told apart: everybody is the operator. */
export const ANYBODY: Caller = { id: null, operator: true };

/** An identity by keys, tokens, both or, when neither is configured, none. */
export function createIdentity(options: IdentityOptions): Identity {
  if (options.keys.length === 0 && options.tokens === null) {
    const anybody: Identified = { ok: true, caller: ANYBODY, expiresAt: null };
    return { required: false, identify: () => anybody };
  }
  const { tokens } = options;
  const keyring = createKeyring(options.keys);

  async function byKey(key: string): Promise<Identified> {
    const found = await keyring.find(key);
    if (found === null) return { ok: false, reason: 'invalid' };
    if (found === 'busy') return { ok: false, reason: 'unavailable' };
    const caller = { id: `key:${found.name}`, operator: found.role === 'operator' };
    return { ok: true, caller, expiresAt: null };
  }

  return {
    required: true,
    async identify({ authorization, apiKey }) {
      if (apiKey !== undefined) return byKey(apiKey);
      if (authorization === undefined) return { ok: false, reason: 'missing' };
      const bearer = /^Bearer +(\S+)$/i.exec(authorization.trim())?.[1];
      if (bearer === undefined) return { ok: false, reason: 'invalid' };
      // A JWS has three parts (RFC 7515, 7.1); keys have no dots.
      if (tokens !== null && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(bearer)) return tokens.verify(bearer);
      return byKey(bearer);
    },
  };
}

/** The credentials of a request's headers: `Authorization` or `X-API-Key`. */
export function headerCredentials(headers: IncomingHttpHeaders): Credentials {
  const apiKey = headers['x-api-key'];
  return {
    authorization: headers.authorization,
    // Sent twice, Node gives both joined by a comma, which is nobody's key.
    apiKey: typeof apiKey === 'string' ? apiKey : undefined,
  };
}

/**
 * The credentials of a `connection_init` payload, by any of the names under which clients send them, or null when it
 * holds none.
 */
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
