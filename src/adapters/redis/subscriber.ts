import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { StoreUnavailable } from '../../jobs/errors.ts';
import type { Log } from '../../log.ts';
import { backoff } from './client.ts';
import { reach } from './replies.ts';

export interface SubscriberOptions {
  /** Opens a connection that does not reconnect. */
  open(): Promise<Redis>;
  /** True on a cluster, whose channels belong to the slot of their name. */
  readonly sharded: boolean;
  /** All channels to subscribe to now. */
  channels(): readonly string[];
  onMessage(channel: string, text: string): void;
  /** Called when a new connection has subscribed to every channel, to catch up; retried until it resolves. */
  onRejoined(): Promise<void>;
  readonly log: Log;
}

/** The subscribing connection, replaced whenever it is lost. */
export interface Subscriber {
  /** Opens the first connection and subscribes to every channel. Rejects, and leaves nothing open, when that fails. */
  start(): Promise<void>;
  /** Resolves when subscribed. Rejects with `StoreUnavailable` while there is no connection. */
  join(channel: string): Promise<void>;
  leave(channel: string): void;
  close(): Promise<void>;
}

/**
 * Pause between pings. A connection that does not answer one is closed, however healthy its socket looks: with the time that an
 * answer may take, within three seconds. The end of a socket is noticed at once.
 */
const PING_EVERY_MS = 1_000;
const CATCH_UP_RETRY_MS = 250;
/** Channels per command. */
const BATCH = 500;

/** Keeps one connection subscribed to every channel. When it is lost, opens another, and retries that for ever. */
export function createSubscriber(options: SubscriberOptions): Subscriber {
  const { sharded, log } = options;
  const stopping = new AbortController();
  let live: Redis | null = null;
  let running: Promise<void> = Promise.resolve();

  async function subscribe(connection: Redis, channels: readonly string[]): Promise<void> {
    for (let from = 0; from < channels.length; from += BATCH) {
      const batch = channels.slice(from, from + BATCH);
      await (sharded ? connection.ssubscribe(...batch) : connection.subscribe(...batch));
    }
  }

  /** Subscribes to every channel. Sets `live` first: a `join` in between subscribes itself, so no channel is missed. */
  async function enter(connection: Redis): Promise<void> {
    connection.on(sharded ? 'smessage' : 'message', options.onMessage);
    live = connection;
    try {
      await subscribe(connection, options.channels());
    } catch (error) {
      await drop(connection);
      throw error;
    }
  }

  async function drop(connection: Redis): Promise<void> {
    live = null;
    connection.removeAllListeners('message');
    connection.removeAllListeners('smessage');
    if (connection.status === 'end') return;
    const ended = new Promise<void>(resolve => connection.once('end', () => resolve()));
    connection.disconnect();
    await ended;
  }

  /** Resolves when the connection ends, stops answering, or its slot moves to another node. */
  async function listen(connection: Redis, again: boolean): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, stopping.signal]);
    const end = (): void => over.abort();
    connection.once('end', end);
    connection.once('moved', end);
    if (connection.status === 'end') end();
    await Promise.all([keepPinging(connection, over, signal), again ? catchUp(signal) : null]);
    await drop(connection);
  }

  async function keepPinging(connection: Redis, over: AbortController, signal: AbortSignal): Promise<void> {
    while (await pause(PING_EVERY_MS, signal)) {
      try {
        await connection.ping();
      } catch (error) {
        log.debug({ err: error }, 'the subscribing connection to Redis does not answer');
        over.abort();
      }
    }
  }

  async function catchUp(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await options.onRejoined();
        return;
      } catch (error) {
        log.debug({ err: error }, 'could not catch up with Redis: retrying');
        await pause(CATCH_UP_RETRY_MS, signal);
      }
    }
  }

  async function run(first: Redis): Promise<void> {
    await listen(first, false);
    let attempt = 0;
    while (!stopping.signal.aborted) {
      if (attempt === 0) {
        log.warn({}, 'lost the subscribing connection to Redis: live updates are interrupted');
      }
      attempt += 1;
      try {
        const connection = await options.open();
        await enter(connection);
        log.info({ channels: options.channels().length, attempt }, 'live updates from Redis continue');
        attempt = 0;
        await listen(connection, true);
      } catch (error) {
        log.debug({ attempt, err: error }, 'could not open a subscribing connection to Redis');
        await pause(backoff(attempt), stopping.signal);
      }
    }
  }

  return {
    async start() {
      const first = await options.open();
      await enter(first);
      running = run(first);
    },
    async join(channel) {
      if (live === null)
        throw new StoreUnavailable('Redis is unreachable: jobs cannot be watched', 'ECONNREFUSED');
      await reach(subscribe(live, [channel]));
    },
    leave(channel) {
      if (live === null) return;
      const left = sharded ? live.sunsubscribe(channel) : live.unsubscribe(channel);
      // The next connection does not subscribe to it.
      left.catch(error => log.debug({ err: error }, 'could not unsubscribe from a channel'));
    },
    async close() {
      stopping.abort();
      await running;
    },
  };
}

/** Resolves with false when the signal is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return delay(ms, true, { signal }).catch(() => false);
}
