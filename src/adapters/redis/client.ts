import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { withDeadline } from '../../concurrency/deadline.ts';
import type { Log } from '../../log.ts';
import { type RedisAddress, showAddress } from './address.ts';
import { cannotServeNow } from './replies.ts';
import { scriptsFor } from './scripts/index.ts';

/** Runs commands over one connection, or one per node of a cluster. */
export type Client = Redis | Cluster;

/** What to connect to, and how. */
export interface ConnectionTarget {
  readonly address: RedisAddress;
  readonly tls: ConnectionOptions | null;
}

/** A command without a reply fails after the first; a silent connection is closed after the second, a little later. */
const COMMAND_MS = 2_000;
const SILENCE_MS = 2_500;
const CONNECT_MS = 2_000;
const DISCONNECT_MS = 500;
const RECONNECT_CAP_MS = 1_000;

/** The pause in milliseconds before a reconnect: from 50 ms up to a second, with 20 % jitter. Reconnecting never ends. */
export function backoff(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt - 1, 10), RECONNECT_CAP_MS) * (0.8 + Math.random() * 0.2);
}

type Options = Omit<RedisOptions, 'replyMapping'>;

function common({ address, tls }: ConnectionTarget): Options {
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
    // A call without a connection fails at once. Whether to retry it is the caller's choice.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    // A master that became a replica keeps its connections. Reconnect to find the new master.
    reconnectOnError: error => /\bREADONLY\b/.test(error.message),
  };
}

function toMaster(target: ConnectionTarget, retrySentinels: boolean): Options {
  const { address, tls } = target;
  const [first] = address.hosts;
  if (address.kind !== 'sentinel') {
    return { ...common(target), db: address.db, ...(first ?? {}) };
  }
  return {
    ...common(target),
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

/** Creates the client for commands without connecting. It reconnects for ever; calls without a connection fail at once. */
export function createClient(target: ConnectionTarget): Client {
  const { address } = target;
  const scripts = scriptsFor(address.kind === 'cluster');
  if (address.kind !== 'cluster') {
    return insistOnHandshake(new Redis({ ...toMaster(target, true), scripts, retryStrategy: backoff }));
  }
  const { lazyConnect: _, enableOfflineQueue: __, ...redisOptions } = common(target);
  return new Cluster(
    address.hosts.map(({ host, port }) => ({ host, port })),
    {
      redisOptions,
      scripts,
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRedirections: 8,
      // Never resend a command whose connection was lost: its caller may have got the error already.
      retryDelayOnFailover: 0,
      slotsRefreshTimeout: COMMAND_MS,
      clusterRetryStrategy: backoff,
      // Keep host names unresolved, so that TLS can verify them.
      dnsLookup: (host, callback) => callback(null, host),
    },
  );
}

/**
 * Closes a connection one of whose first commands fails. ioredis would use it although its database could not be selected, and
 * its commands would go to database 0.
 */
function insistOnHandshake(redis: Redis): Redis {
  redis.on('error', () => {
    if (redis.status === 'connect') redis.disconnect(true);
  });
  return redis;
}

/**
 * Opens a connection for subscriptions to the master. On a cluster that is the master of the prefix's slot, because a
 * sharded channel belongs to the slot of its name. The connection does not reconnect; its owner opens another.
 */
export async function openSubscriber(
  target: ConnectionTarget,
  client: Client,
  prefix: string,
): Promise<Redis> {
  const options = toMaster(target, false);
  if (target.address.kind === 'cluster') Object.assign(options, await slotMaster(target, client, prefix));
  const redis = insistOnHandshake(new Redis({ ...options, retryStrategy: () => null }));
  let cause: Error | null = null;
  redis.on('error', (error: Error) => {
    if (!CONSEQUENCE.test(error.message)) cause = error;
  });
  try {
    await redis.connect();
    return redis;
  } catch (error) {
    redis.disconnect();
    // The event has the reason; the rejection only says that the connection is closed.
    throw cause ?? error;
  }
}

async function slotMaster(
  { address }: ConnectionTarget,
  client: Client,
  prefix: string,
): Promise<{ host: string; port: number }> {
  const slot = await client.cluster('KEYSLOT', prefix);
  const ranges = await client.cluster('SLOTS');
  for (const [from, to, master] of ranges) {
    if (from > slot || to < slot) continue;
    const [host, port] = master ?? [];
    // An empty host means the host of the node that replied (redis.io/commands/cluster-slots).
    if (typeof port === 'number') return { host: String(host || address.hosts[0]?.host), port };
  }
  throw new Error(`No node of ${showAddress(address)} serves slot ${slot}`);
}

/**
 * Connects, and resolves when commands can be run; later losses and returns of the connection are logged. Rejects
 * after `timeoutMs` with the last error, and at once when Redis rejects our credentials or the database, or we reject its
 * certificate.
 */
export async function untilReady(
  client: Client,
  { address }: ConnectionTarget,
  timeoutMs: number,
  log: Log,
): Promise<void> {
  const redis = showAddress(address);
  const database = `database ${address.db} of ${redis}`;
  let cause = 'no answer';
  const unusable = (): Error => new Error(`Redis at ${redis} cannot be used: ${cause}`);
  const ready = new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => {
      const text = reasonOf(error);
      log.debug({ redis, err: error }, 'a connection to Redis failed');
      if (rejectsDatabase(error))
        reject(new Error(`REDIS_URL: ${database} cannot be used: ${text}; ${REMEDY}`));
      if (!CONSEQUENCE.test(text)) cause = text;
      if (FINAL.test(text)) reject(unusable());
    };
    client.on('error', failed);
    if (client instanceof Cluster) client.on('node error', failed);
    client.once('ready', resolve);
    // The client retries by itself. The event above has the reason why the first attempt failed.
    client.connect().catch((error: Error) => log.debug({ redis, err: error }, 'retrying Redis'));
  });
  await withDeadline(ready, timeoutMs, () => {
    throw unusable();
  });
  logOutages(client, { redis, database: address.db }, log);
}

/** Errors that only follow from an earlier one, which has the reason. */
const CONSEQUENCE = /^Connection is closed|^Failed to refresh slots cache|^Stream isn't writeable/;

/** Errors that a retry cannot cure. */
const FINAL = /WRONGPASS|NOAUTH|certificate|invalid password/i;

const REMEDY = 'name a database that Redis has and that its user may select; a cluster has only 0';

/** Whether Redis lacks the database of the address, or does not let our user select it: a retry cannot cure that. */
function rejectsDatabase(error: Error & { readonly command?: unknown }): boolean {
  const { command, message } = error;
  if (typeof command !== 'object' || command === null || !('name' in command)) return false;
  return command.name === 'select' && !cannotServeNow(message);
}

function reasonOf(error: Error): string {
  const node = 'lastNodeError' in error && error.lastNodeError instanceof Error ? error.lastNodeError : error;
  // A host with several addresses fails with an AggregateError, which has no message.
  const text = node.message.replace(/ Retrying from scratch after .*$/, '');
  return text || ('code' in node ? String(node.code) : node.name);
}

function logOutages(client: Client, where: { redis: string; database: number }, log: Log): void {
  const { redis } = where;
  let lost = false;
  let rejected = false;
  // Not on `close`, which is also emitted when we close the client.
  client.on('reconnecting', () => {
    if (!lost) log.warn({ redis }, 'Redis is unreachable');
    lost = true;
  });
  client.on('error', (error: Error) => {
    if (rejected || !rejectsDatabase(error)) return;
    rejected = true;
    const reason = reasonOf(error);
    log.error({ ...where, reason }, 'Redis rejects the database of REDIS_URL: it counts as unreachable');
  });
  client.on('ready', () => {
    if (lost) log.info({ redis }, 'Redis is back');
    lost = false;
    rejected = false;
  });
}

/** Closes every connection. Resolves when they are closed, after half a second at most when Redis does not answer. */
export async function closeClient(client: Client): Promise<void> {
  const ended =
    client.status === 'ready' ? new Promise<void>(resolve => client.once('end', () => resolve())) : null;
  client.disconnect();
  await ended;
}
