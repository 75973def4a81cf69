import { VERSION } from '../../version.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber, reach } from './replies.ts';

/**
 * Version of the records, indices and messages. Raise it with each change of them, and let the gateways of the version
 * before still read what is written, so that both can share one Redis during a rolling update. Version 1 had no key.
 *
 * What is read has to be understood from the version before on: `record.ts` adds fields that came later.
 */
export const STORE_VERSION = 2;

/** The oldest version whose gateways can share a Redis with this one. */
const OLDEST_READER = 1;

/**
 * Claims a Redis for this version of the gateway: an older store gets this version, a newer one stays as it is. Resolves
 * with the version before, 0 for an empty Redis. Rejects with an Error that names REDIS_URL, having changed nothing, when a
 * later version wrote what this one cannot read.
 */
export async function claimStore(client: Client, keys: Keys): Promise<number> {
  const reply = await reach(
    client.qeClaimStore(keys.version, keys.identity, STORE_VERSION, OLDEST_READER, VERSION),
  );
  const [found, reader, gateway] = asList(reply);
  if (asNumber(reader) > STORE_VERSION) {
    throw new Error(
      `REDIS_URL: the store has version ${asNumber(found)} of gateway ${String(gateway)}, and this gateway, ${VERSION}, takes ` +
        `${STORE_VERSION} at most; start ${String(gateway)} or later, or set REDIS_URL to another Redis or database`,
    );
  }
  return asNumber(found);
}
