import type { Agreements, Clock } from '../../jobs/ports.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber, reach } from './replies.ts';

/**
 * The texts that gateways agree on, in one hash.
 *
 * @param now Null uses the clock of Redis.
 */
export function createRedisAgreements(client: Client, keys: Keys, now: Clock | null): Agreements {
  const time = (): string => (now === null ? '' : String(now()));
  return {
    async read(name) {
      const reply = await reach(client.qeReadAgreement(keys.agreements, keys.prefix, time(), name));
      const [at, text] = asList(reply);
      return { text: typeof text === 'string' ? text : null, at: Number(at) };
    },
    async replace(name, before, after) {
      const reply = client.qeReplaceAgreement(keys.agreements, name, before ?? '', after);
      return asNumber(await reach(reply)) === 1;
    },
  };
}
