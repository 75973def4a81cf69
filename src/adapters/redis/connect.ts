import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import type { Clock, Feed, Ledger, Previews } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import type { SharedRates } from '../../rate.ts';
import { parseRedisUrl, type RedisAddress, showAddress } from './address.ts';
import { adviseOnSettings } from './advice.ts';
import { type Connecting, closeClient, createClient, openSubscriber, untilReady } from './client.ts';
import { reach } from './failure.ts';
import { createRedisFeed } from './feed.ts';
import { createKeys, DEFAULT_PREFIX } from './keys.ts';
import { createRedisLedger } from './ledger.ts';
import { createRedisPreviews } from './previews.ts';
import { createRedisRates } from './rates.ts';
import { createSubscriber } from './subscriber.ts';
import { createWaitingCall } from './waiting-call.ts';

export interface RedisOptions {
  /** See `parseRedisUrl`. */
  readonly url: string;
  /** Certificates (PEM) that the server's is held against besides those of the system; for `rediss` only. */
  readonly caFile?: string;
  /** What every key and channel begins with; with a hash tag in braces. */
  readonly prefix?: string;
  readonly log: Log;
  /** Tests move it; left out, leases go by Redis' own clock. */
  readonly now?: Clock;
  /** How long Redis may take to answer at the start, in milliseconds. 10 s when left out. */
  readonly startTimeoutMs?: number;
}

/** What gateways share through Redis. */
export interface RedisStore {
  readonly ledger: Ledger;
  readonly feed: Feed;
  readonly previews: Previews;
  readonly rates: SharedRates;
  /** Closes every connection; the same as the ledger's. */
  close(): Promise<void>;
}

const START_TIMEOUT_MS = 10_000;

/**
 * Opens the store: one connection for commands (one a node on a cluster) and one that subscribes. Rejects, with
 * nothing left open, when the URL is wrong or Redis cannot be reached within `startTimeoutMs`. Afterwards both
 * reconnect for ever; while Redis is away every call rejects with `StoreAway`, and once it is back every watcher gets
 * the present snapshot.
 */
export async function connectRedis(options: RedisOptions): Promise<RedisStore> {
  const { log } = options;
  const keys = createKeys(readPrefix(options.prefix ?? DEFAULT_PREFIX));
  const connecting = await prepare(options);
  const { address } = connecting;
  const client = createClient(connecting);
  const waiting = createWaitingCall();

  const ledger = createRedisLedger({ client, keys, now: options.now ?? null, waiting, close });
  const feed = createRedisFeed({
    keys,
    log,
    join: channel => subscriber.join(channel),
    leave: channel => subscriber.leave(channel),
    readMany: ledger.getMany,
  });
  const subscriber = createSubscriber({
    open: () => openSubscriber(connecting, client, keys.prefix),
    sharded: address.kind === 'cluster',
    channels: () => [keys.waiting, ...feed.channels()],
    onMessage(channel, text) {
      if (channel === keys.waiting) waiting.ring();
      else feed.message(channel, text);
    },
    async onRejoined() {
      await checkIdentity();
      await feed.refresh();
      waiting.ring();
    },
    log,
  });

  let identity: string | null = null;
  async function checkIdentity(): Promise<void> {
    const found = String(await reach(client.qeIdentify(keys.identity, randomUUID())));
    if (identity !== null && found !== identity) {
      log.error(
        { redis: showAddress(address) },
        'Redis came back without the jobs that it had: they are lost; going on with what comes',
      );
    }
    identity = found;
  }

  let closing: Promise<void> | null = null;
  function close(): Promise<void> {
    closing ??= (async () => {
      waiting.close();
      await Promise.all([subscriber.close(), closeClient(client)]);
    })();
    return closing;
  }

  try {
    await untilReady(client, connecting, options.startTimeoutMs ?? START_TIMEOUT_MS, log);
    await checkIdentity();
    await adviseOnSettings(client, log);
    await subscriber.start();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    ledger,
    feed,
    previews: createRedisPreviews(client, keys),
    rates: createRedisRates(client, keys),
    close,
  };
}

/** Throws an Error that names the setting at fault. */
async function prepare({ url, caFile }: RedisOptions): Promise<Connecting> {
  const address = readAddress(url);
  if (caFile === undefined) return { address, tls: address.tls ? {} : null };
  if (!address.tls) throw new Error('REDIS_URL: a file of certificates is for rediss:// only');
  return { address, tls: await readCertificates(caFile) };
}

function readAddress(url: string): RedisAddress {
  try {
    return parseRedisUrl(url);
  } catch (error) {
    throw new Error(`REDIS_URL: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function readCertificates(path: string): Promise<ConnectionOptions> {
  try {
    return { ca: await readFile(path) };
  } catch (error) {
    throw new Error(`The certificates of Redis cannot be read from ${path}: ${String(error)}`);
  }
}

function readPrefix(prefix: string): string {
  if (!/\{[^}]+\}/.test(prefix)) {
    throw new Error(`The prefix of keys takes a hash tag in braces such as ${DEFAULT_PREFIX}, got ${prefix}`);
  }
  return prefix;
}
