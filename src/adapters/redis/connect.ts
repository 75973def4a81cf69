import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Previews } from '../../jobs/image-stores.ts';
import type { LastClaims } from '../../jobs/last-claims.ts';
import type { Clock, Durations, Feed, Ledger, Secrets } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import type { SharedRates } from '../../rate.ts';
import { parseRedisUrl, type RedisAddress, showAddress } from './address.ts';
import {
  type Client,
  type ConnectionTarget,
  closeClient,
  createClient,
  openSubscriber,
  untilReady,
} from './client.ts';
import { createRedisDurations } from './durations.ts';
import { type RedisInfo, readInfo } from './info.ts';
import { createKeys, DEFAULT_PREFIX } from './keys.ts';
import { createRedisLastClaims } from './last-claims.ts';
import { createRedisLedger } from './ledger.ts';
import { createRedisFeed, createRedisPreviews } from './live.ts';
import { createRedisRates } from './rates.ts';
import { reach } from './replies.ts';
import { createRedisSecrets } from './secrets.ts';
import { createSubscriber } from './subscriber.ts';
import { claimStore, STORE_VERSION } from './version.ts';

export interface RedisOptions {
  /** See `parseRedisUrl`. */
  readonly url: string;
  /** PEM file of certificates to trust besides those of the system; only with `rediss`. */
  readonly caFile?: string;
  /** Prefix of all keys and channels; it must contain a hash tag in braces. */
  readonly prefix?: string;
  readonly log: Log;
  /** For tests. By default leases use the clock of Redis. */
  readonly now?: Clock;
  /** How long to try to connect at the start, in milliseconds. Default: 10 s. */
  readonly startTimeoutMs?: number;
}

/** The store that gateways share. */
export interface RedisStore {
  readonly ledger: Ledger;
  readonly feed: Feed;
  readonly previews: Previews;
  readonly durations: Durations;
  readonly secrets: Secrets;
  readonly lastClaims: LastClaims;
  readonly smallArtifacts: null;
  readonly rates: SharedRates;
  /** Publishes to readers outside of the gateways. Rejects with StoreUnavailable. */
  publish(channel: string, message: string): Promise<void>;
  /** Closes every connection, as `ledger.close` does. */
  close(): Promise<void>;
}

const START_TIMEOUT_MS = 10_000;

/**
 * Opens the store with one connection for commands (one per node of a cluster) and one for subscriptions. Rejects, and
 * leaves nothing open, when the URL is invalid, Redis cannot be used within `startTimeoutMs`, or a later version of the
 * gateway wrote what this one cannot read. Later both connections reconnect for ever. While Redis is unreachable every call
 * rejects with `StoreUnavailable`; once it is back, every watcher gets the current snapshot.
 */
export async function connectRedis(options: RedisOptions): Promise<RedisStore> {
  const { log } = options;
  const keys = createKeys(checkPrefix(options.prefix ?? DEFAULT_PREFIX));
  const target = await targetOf(options);
  const { address } = target;
  const client = createClient(target);

  const ledger = createRedisLedger({ client, keys, now: options.now ?? null, close });
  const lastClaims = createRedisLastClaims(client, keys);
  const feed = createRedisFeed({
    keys,
    log,
    join: channel => subscriber.join(channel),
    leave: channel => subscriber.leave(channel),
    readMany: ledger.getMany,
  });
  const subscriber = createSubscriber({
    open: () => openSubscriber(target, client, keys.prefix),
    sharded: address.kind === 'cluster',
    channels: () => [keys.waiting, ledger.wakeChannel, keys.drained, keys.lastClaims, ...feed.channels()],
    onMessage(channel, text) {
      if (channel === ledger.wakeChannel) ledger.arrived(Number(text));
      else if (channel === keys.waiting) {
        if (!text.startsWith('+')) ledger.arrived(0);
      } else if (channel === keys.drained) ledger.engines.announce();
      else if (channel === keys.lastClaims) lastClaims.message(text);
      else feed.message(channel, text);
    },
    async onRejoined() {
      await checkStore();
      await feed.refresh();
      ledger.arrived(0);
      ledger.engines.announce();
    },
    log,
  });

  let identity: string | null = null;
  /** Rejects when a later version of the gateway wrote what this one cannot read. */
  async function checkStore(): Promise<void> {
    const version = await claimStore(client, keys);
    if (version > 0 && version < STORE_VERSION) {
      log.info({ from: version, to: STORE_VERSION }, 'moved the store in Redis to a newer version');
    }
    const found = String(await reach(client.qeIdentify(keys.identity, randomUUID())));
    if (identity !== null && found !== identity) {
      log.error(
        { redis: showAddress(address) },
        'Redis came back without its jobs: they are lost; the gateway continues with new ones',
      );
    }
    identity = found;
  }

  let closing: Promise<void> | null = null;
  function close(): Promise<void> {
    lastClaims.close();
    closing ??= Promise.all([subscriber.close(), closeClient(client)]).then(() => undefined);
    return closing;
  }

  try {
    await untilReady(client, target, options.startTimeoutMs ?? START_TIMEOUT_MS, log);
    await checkStore();
    await warnOfSettings(client, log);
    await subscriber.start();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    ledger,
    feed,
    previews: createRedisPreviews(client, keys),
    durations: createRedisDurations(client, keys),
    secrets: createRedisSecrets(client, keys),
    lastClaims,
    smallArtifacts: null,
    rates: createRedisRates(client, keys),
    async publish(channel, message) {
      await reach(client.publish(channel, message));
    },
    close: ledger.close,
  };
}

/** Throws an Error that names the setting at fault. */
export async function targetOf({
  url,
  caFile,
}: Pick<RedisOptions, 'url' | 'caFile'>): Promise<ConnectionTarget> {
  const address = readAddress(url);
  if (caFile === undefined) return { address, tls: address.tls ? {} : null };
  if (!address.tls) throw new Error('REDIS_URL: REDIS_CA_FILE needs a rediss:// URL');
  try {
    return { address, tls: { ca: await readFile(caFile) } };
  } catch (error) {
    throw new Error(`REDIS_CA_FILE: cannot read ${caFile}: ${String(error)}`);
  }
}

function readAddress(url: string): RedisAddress {
  try {
    return parseRedisUrl(url);
  } catch (error) {
    throw new Error(`REDIS_URL: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function checkPrefix(prefix: string): string {
  if (!/\{[^}]+\}/.test(prefix)) {
    throw new Error(
      `The prefix of keys needs a hash tag in braces, such as ${DEFAULT_PREFIX}; got ${prefix}`,
    );
  }
  return prefix;
}

/** Warns of settings of Redis that can lose accepted jobs. Skipped where an access rule forbids `INFO`. */
async function warnOfSettings(client: Client, log: Log): Promise<void> {
  let info: RedisInfo;
  try {
    info = await readInfo(client);
  } catch (error) {
    log.debug({ err: error }, 'could not read the settings of Redis');
    return;
  }
  if (!info.appendOnly) {
    log.warn({}, 'Redis has no append-only file: a restart loses accepted jobs (set appendonly yes)');
  }
  if (info.eviction !== null) {
    log.warn(
      { policy: info.eviction },
      'Redis evicts data when its memory is full: set maxmemory-policy noeviction',
    );
  }
}
