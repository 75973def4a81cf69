import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from '../../jobs/caller.ts';
import { type ApiKey, createKeyring } from './api-keys.ts';
import type { Tokens } from './tokens.ts';

/** The credentials of a request. Never read from a URL, since URLs end up in logs and histories. */
export interface Credentials {
  /** `Bearer <key or token>`. */
  readonly authorization: string | undefined;
  readonly apiKey: string | undefined;
}

export type Identified =
  /** `expiresAt`: milliseconds since 1970; null: the credentials do not expire. */
  | { ok: true; caller: Caller; expiresAt: number | null }
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
}: {
  readonly keys: readonly ApiKey[];
  readonly tokens: Tokens | null;
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
      // A JWS has three parts separated by dots (RFC 7515, 7.1); keys have no dots.
      if (tokens !== null && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(bearer)) return tokens.verify(bearer);
      return byKey(bearer);
    },
  };
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
