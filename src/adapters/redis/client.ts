import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Log } from '../../log.ts';
import { type RedisAddress, showAddress } from './address.ts';
import { scriptsFor } from './scripts/index.ts';

/** What runs commands: a connection, or one to each node of a cluster. */
export type Client = Redis | Cluster;

/** How a connection to the address is made. */
export interface Connecting {
  readonly address: RedisAddress;
  readonly tls: ConnectionOptions | null;
}

/** An answer that takes longer is given up; so is a connection that is silent for a little longer. */
const COMMAND_MS = 2_000;
const SILENCE_MS = 2_500;
const CONNECT_MS = 2_000;
const DISCONNECT_MS = 500;
const RECONNECT_CAP_MS = 1_000;

/** Rises from 50 ms to a second, for ever: a store that is away comes back. */
export function backoff(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt - 1, 10), RECONNECT_CAP_MS) * (0.8 + Math.random() * 0.2);
}

type Options = Omit<RedisOptions, 'replyMapping'>;

function common({ address, tls }: Connecting): Options {
  return {
    ...(address.username === null ? {} : { username: address.username }),
    ...(address.password === null ? {} : { password: address.password }),
    ...(tls === null ? {} : { tls }),
    connectionName: 'qwen-edit',
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: DISCONNECT_MS,
    commandTimeout: COMMAND_MS,
    socketTimeout: SILENCE_MS,
    // A call is made now or fails now; whether to make it again is the caller's choice.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    // A master that was made a replica keeps the connection: ask again who is master.
    reconnectOnError: error => /\bREADONLY\b/.test(error.message),
  };
}

function toMaster(connecting: Connecting, retrySentinels: boolean): Options {
  const { address, tls } = connecting;
  const [first] = address.hosts;
  if (address.kind !== 'sentinel') {
    return { ...common(connecting), db: address.db, ...(first ?? {}) };
  }
  return {
    ...common(connecting),
    db: address.db,
    sentinels: address.hosts.map(({ host, port }) => ({ host, port })),
    name: address.masterName,
    role: 'master',
    sentinelRetryStrategy: attempt => (retrySentinels ? backoff(attempt) : null),
    sentinelCommandTimeout: COMMAND_MS,
    ...(address.sentinelUsername === null ? {} : { sentinelUsername: address.sentinelUsername }),
    ...(address.sentinelPassword === null ? {} : { sentinelPassword: address.sentinelPassword }),
    ...(tls === null ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls }),
  };
}

/** The client for commands, not connected yet. It reconnects for ever; calls meanwhile fail at once. */
export function createClient(connecting: Connecting): Client {
  const { address } = connecting;
  const scripts = scriptsFor(address.kind === 'cluster');
  if (address.kind !== 'cluster') {
    return new Redis({ ...toMaster(connecting, true), scripts, retryStrategy: backoff });
  }
  const { lazyConnect: _, enableOfflineQueue: __, ...redisOptions } = common(connecting);
  return new Cluster(
    address.hosts.map(({ host, port }) => ({ host, port })),
    {
      redisOptions,
      scripts,
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRedirections: 8,
      // A command whose connection was lost is not sent again: its caller may have been told already that it failed.
      retryDelayOnFailover: 0,
      slotsRefreshTimeout: COMMAND_MS,
      clusterRetryStrategy: backoff,
      // Names stay names, so that a certificate can be held against them.
      dnsLookup: (host, callback) => callback(null, host),
    },
  );
}

/**
 * A connection to subscribe with: to the master, on a cluster to the master of the prefix's slot, because a channel
 * belongs to the slot of its name. It does not reconnect; its owner opens another. Rejects when there is none.
 */
export async function openSubscriber(connecting: Connecting, client: Client, prefix: string): Promise<Redis> {
  const options = toMaster(connecting, false);
  if (connecting.address.kind === 'cluster')
    Object.assign(options, await slotMaster(connecting, client, prefix));
  const redis = new Redis({ ...options, retryStrategy: () => null });
  let cause: Error | null = null;
  redis.on('error', (error: Error) => {
    cause = error;
  });
  try {
    await redis.connect();
    return redis;
  } catch (error) {
    redis.disconnect();
    // The event names the reason; the rejection says only that the connection is closed.
    throw cause ?? error;
  }
}

async function slotMaster(
  { address }: Connecting,
  client: Client,
  prefix: string,
): Promise<{ host: string; port: number }> {
  const slot = await client.cluster('KEYSLOT', prefix);
  const ranges = await client.cluster('SLOTS');
  for (const [from, to, master] of ranges) {
    if (from > slot || to < slot) continue;
    const [host, port] = master ?? [];
    // An empty name stands for the host that was asked (redis.io/commands/cluster-slots).
    if (typeof port === 'number') return { host: String(host || address.hosts[0]?.host), port };
  }
  throw new Error(`No node of ${showAddress(address)} serves slot ${slot}`);
}

/**
 * Connects and resolves when commands can be run; from then on loss and return are logged. Rejects after `timeoutMs`
 * with the last reason, and at once when Redis does not let us in.
 */
export async function untilReady(
  client: Client,
  { address }: Connecting,
  timeoutMs: number,
  log: Log,
): Promise<void> {
  const redis = showAddress(address);
  let cause = 'no answer';
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (): void => reject(new Error(`Redis at ${redis} cannot be used: ${cause}`));
      timer = setTimeout(fail, timeoutMs);
      const failed = (error: Error): void => {
        const text = reason(error);
        log.debug({ redis, error: text }, 'a connection to Redis failed');
        if (!CONSEQUENCE.test(text)) cause = text;
        if (REFUSED.test(text)) fail();
      };
      client.on('error', failed);
      if (client instanceof Cluster) client.on('node error', failed);
      client.once('ready', resolve);
      // The client goes on trying; the event above tells why the first attempt failed.
      client
        .connect()
        .catch((error: Error) => log.debug({ redis, error: reason(error) }, 'trying Redis again'));
    });
  } finally {
    clearTimeout(timer);
  }
  logAbsence(client, redis, log);
}

/** Says only that there is no connection; the reason was told before. */
const CONSEQUENCE = /^Connection is closed|^Failed to refresh slots cache/;

/** Will not get better by trying again. */
const REFUSED = /WRONGPASS|NOAUTH|certificate|invalid password/i;

function reason(error: Error): string {
  const node = 'lastNodeError' in error && error.lastNodeError instanceof Error ? error.lastNodeError : error;
  // An address with several families fails with one error for each.
  const text = node.message.replace(/ Retrying from scratch after .*$/, '');
  return text || ('code' in node ? String(node.code) : node.name);
}

function logAbsence(client: Client, redis: string, log: Log): void {
  let away = false;
  // Not `close`, which also says that we closed it.
  client.on('reconnecting', () => {
    if (!away) log.warn({ redis }, 'Redis is out of reach');
    away = true;
  });
  client.on('ready', () => {
    if (away) log.info({ redis }, 'Redis is back');
    away = false;
  });
}

/** Ends every connection. Resolves when they are gone, a moment later at most when Redis does not answer. */
export async function closeClient(client: Client): Promise<void> {
  const ended =
    client.status === 'ready' ? new Promise<void>(resolve => client.once('end', () => resolve())) : null;
  client.disconnect();
  await ended;
}
