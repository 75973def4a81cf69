import { join } from 'node:path';
import type { Clock, Feed, Ledger, Previews } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { SharedRates } from '../rate.ts';
import { createEmbeddedFeed } from './embedded/feed.ts';
import { openEmbeddedLedger } from './embedded/ledger.ts';
import { createMemoryPreviews } from './embedded/previews.ts';

/** Where jobs live, and how their changes get about. */
export interface Store {
  readonly ledger: Ledger;
  readonly feed: Feed;
  readonly previews: Previews;
  /** Null: no other gateway counts. */
  readonly rates: SharedRates | null;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Null: the embedded store, for a gateway that stands alone. */
  readonly redisUrl: string | null;
  /** PEM file of the authority that signed Redis' certificate; null: those the system trusts. */
  readonly redisCaFile: string | null;
  /** Folder of the embedded store. */
  readonly dataDir: string;
  readonly now: Clock;
  readonly log: Log;
}

/** Opens the store. Rejects when Redis cannot be reached, or when another gateway holds the embedded one. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { redisUrl, redisCaFile, log } = options;
  if (redisUrl !== null) {
    // Its client is not loaded where nobody needs it.
    const { connectRedis } = await import('./redis/connect.ts');
    return connectRedis({ url: redisUrl, log, ...(redisCaFile === null ? {} : { caFile: redisCaFile }) });
  }
  const feed = createEmbeddedFeed();
  const ledger = openEmbeddedLedger({ path: join(options.dataDir, 'jobs.sqlite'), feed, now: options.now });
  return { ledger, feed, previews: createMemoryPreviews(), rates: null, close: () => ledger.close() };
}
