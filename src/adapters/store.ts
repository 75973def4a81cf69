import { join } from 'node:path';
import type { Previews } from '../jobs/image-stores.ts';
import type { LastClaims } from '../jobs/last-claims.ts';
import type { Clock, Durations, Feed, Ledger, Secrets } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { SharedRates } from '../rate.ts';
import { type EmbeddedLedger, openEmbeddedLedger } from './embedded/ledger.ts';
import { createEmbeddedFeed, createMemoryPreviews, type EmbeddedFeed } from './embedded/live.ts';
import type { MoveEvent } from './embedded/migrations.ts';
import type { SmallArtifacts } from './embedded/small-artifacts.ts';
import { serveSnapshots } from './embedded/snapshots.ts';

/** The store of jobs: their records, live changes, previews, and how long they took. */
export interface Store {
  readonly ledger: Ledger;
  readonly feed: Feed;
  readonly previews: Previews;
  readonly durations: Durations;
  readonly secrets: Secrets;
  /** Null where artifacts are stored for several gateways. */
  readonly smallArtifacts: SmallArtifacts | null;
  /** Null in the embedded store, which has a single gateway. */
  readonly lastClaims: LastClaims | null;
  /** Null in the embedded store, which has a single gateway. */
  readonly rates: SharedRates | null;
  /** Publishes a message on a channel that others than gateways read. Null in the embedded store, which has no other readers. */
  readonly publish: ((channel: string, message: string) => Promise<void>) | null;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Null selects the embedded store, for a gateway that runs alone. */
  readonly redisUrl: string | null;
  /** PEM file of the authority that signed Redis' certificate; null uses the authorities that the system trusts. */
  readonly redisCaFile: string | null;
  /** Folder of the embedded store. */
  readonly dataDir: string;
  readonly now: Clock;
  readonly log: Log;
}

/** Opens the store. Rejects when Redis is unreachable, another gateway holds the embedded store, or a later version wrote it. */
export async function openStore({ redisUrl, redisCaFile, dataDir, now, log }: StoreOptions): Promise<Store> {
  if (redisUrl !== null) {
    // Loaded only when it is used: ioredis makes a start slower.
    const { connectRedis } = await import('./redis/connect.ts');
    return connectRedis({ url: redisUrl, log, ...(redisCaFile === null ? {} : { caFile: redisCaFile }) });
  }
  const feed = createEmbeddedFeed();
  const ledger = openEmbeddedLedger({
    path: join(dataDir, 'jobs.sqlite'),
    feed,
    now,
    onMove: logMove(log, now),
  });
  const snapshots = await serveSnapshots(ledger.copy, dataDir, log);
  return embeddedStore(ledger, feed, async () => {
    await snapshots?.stop();
    await ledger.close();
  });
}

/** The store of a gateway that runs alone: `ledger`, which announces its changes on `feed`. `close` is to close the ledger. */
export function embeddedStore(
  ledger: EmbeddedLedger,
  feed: EmbeddedFeed,
  close: () => Promise<void> = () => ledger.close(),
): Store {
  return {
    ledger,
    feed,
    previews: createMemoryPreviews(),
    durations: ledger.durations,
    secrets: ledger.secrets,
    lastClaims: null,
    smallArtifacts: ledger.smallArtifacts,
    rates: null,
    publish: null,
    close,
  };
}

/** Logs how far the job file is moved to a newer version: the gateway does nothing else meanwhile, and does not listen. */
function logMove(log: Log, now: Clock): (event: MoveEvent) => void {
  let [startedAt, stepAt] = [0, 0];
  const secondsSince = (at: number): number => Number(((now() - at) / 1000).toFixed(1));
  return event => {
    switch (event.kind) {
      case 'started': {
        const { from, to, jobs } = event;
        startedAt = now();
        stepAt = startedAt;
        log.info({ from, to, jobs }, 'moving the job file to a newer version before the gateway listens');
        return;
      }
      case 'step':
        log.info(
          { version: event.version, seconds: secondsSince(stepAt) },
          'moved the job file one version forward',
        );
        stepAt = now();
        return;
      case 'ended':
        log.info({ seconds: secondsSince(startedAt) }, 'moved the job file to a newer version');
        return;
      default:
        event satisfies never;
    }
  };
}
