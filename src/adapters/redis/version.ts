import { VERSION } from '../../version.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber, reach } from './replies.ts';

/**
 * Version of the records, indices and messages. Raise it with each change of them, and let the gateways of the version
 * before still read what is written, so that both can share one Redis during a rolling update. Version 1 had no key.
 *
 * A gateway that claims by the script `claim` shares a Redis with earlier ones, which read the head of the queue: a job goes to
 * the first to change its record, each tells the others of arrivals, and what the script keeps (`parked`, `alone`) the earlier ones
 * do not read. Only a suspect that an earlier one claims may get company from a later one, until all are updated.
 *
 * Earlier gateways run and remove the jobs of a batch without noting how far they are or that they left it: a batch is counted from
 * the records of its jobs, and those that are gone are skipped.
 *
 * Gateways before version 6 know no limit of running jobs. They claim from the queue, where the jobs of a caller at its limit are
 * not (`LIMITED` in `scripts/limits.ts`), and neither count what they claim for a caller nor put a job back when one of its jobs
 * leaves a lane. Later ones do: when they take over a lane, and for a caller without jobs in lanes whenever they claim.
 *
 * What is read has to be understood from the version before on: `record.ts` adds fields that came later.
 */
export const STORE_VERSION = 6;

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
  checkReader(asNumber(found), asNumber(reader), String(gateway));
  return asNumber(found);
}

/** The version of a store, which is not changed; null where none was written. Rejects as `claimStore`. */
export async function readStoreVersion(client: Client, keys: Keys): Promise<number | null> {
  const [found, reader, gateway] = await reach(client.hmget(keys.version, 'version', 'reader', 'gateway'));
  if (found === null || found === undefined) return null;
  checkReader(Number(found), Number(reader), String(gateway));
  return Number(found);
}

/** Throws when a store of version `found`, raised by `gateway`, needs a reader of a later version than this one. */
function checkReader(found: number, reader: number, gateway: string): void {
  if (reader <= STORE_VERSION) return;
  throw new Error(
    `REDIS_URL: the store has version ${found} of gateway ${gateway}, and this gateway, ${VERSION}, takes ` +
      `${STORE_VERSION} at most; start ${gateway} or later, or set REDIS_URL to another Redis or database`,
  );
}
