import type { Clock } from '../../jobs/ports.ts';
import { type ApiKey, type ApiKeysResult, createKeyring, parseApiKeys } from './api-keys.ts';
import { bearerOf, type Identity } from './identity.ts';

/** What the ids of engines that present a key begin with. */
const PREFIX = 'engine:';

/**
 * Parses the keys with which engines register: entries as those of `API_KEYS`, without a role and a policy. Faults give the
 * number of an entry, never its content.
 */
export function parseEngineKeys(text: string): ApiKeysResult {
  const parsed = parseApiKeys(text);
  if (!parsed.ok) return parsed;
  const other = parsed.value.findIndex(({ role, policy }) => role !== 'user' || policy !== null);
  if (other < 0) return parsed;
  return { ok: false, fault: `entry ${other + 1} must be name:hash or name:hash:until=time` };
}

/** Whether two lists of keys have one in common, as far as their hashes tell. */
export function haveCommonKey(some: readonly ApiKey[], others: readonly ApiKey[]): boolean {
  return some.some(one => others.some(other => one.hash.digest.equals(other.hash.digest)));
}

/** Identifies engines by the keys of `ENGINE_KEYS`; without any, none. */
export function createEngineIdentity(keys: readonly ApiKey[], now: Clock = Date.now): Identity {
  const keyring = createKeyring(keys);
  return {
    required: true,
    async identify({ authorization, apiKey }) {
      if (authorization === undefined && apiKey === undefined) return { ok: false, reason: 'missing' };
      const key = apiKey ?? bearerOf(authorization ?? '');
      const found = key === null ? null : await keyring.find(key);
      if (found === 'busy') return { ok: false, reason: 'unavailable' };
      if (found === null || (found.until !== null && found.until <= now()))
        return { ok: false, reason: 'invalid' };
      return { ok: true, caller: { id: PREFIX + found.name, operator: false }, expiresAt: found.until };
    },
  };
}

/** The name of the key of an engine; null for any other caller. */
export function engineKeyOf({ id }: { readonly id: string | null }): string | null {
  return id?.startsWith(PREFIX) === true ? id.slice(PREFIX.length) : null;
}
