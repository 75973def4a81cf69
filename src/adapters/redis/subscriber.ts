import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { StoreAway } from '../../jobs/store-away.ts';
import type { Log } from '../../log.ts';
import { backoff } from './client.ts';
import { reach } from './failure.ts';

export interface SubscriberOptions {
  /** Opens a connection that does not reconnect by itself. */
  open(): Promise<Redis>;
  /** On a cluster: a channel belongs to the slot of its name. */
  readonly sharded: boolean;
  /** Every channel that is wanted now. */
  channels(): readonly string[];
  onMessage(channel: string, text: string): void;
  /** Called when a new connection has every channel: catches up. Called again until it resolves. */
  onRejoined(): Promise<void>;
  readonly log: Log;
}

/** The one connection that listens. */
export interface Subscriber {
  /** Opens the first connection with every channel that is wanted. Rejects, with nothing open, when there is none. */
  start(): Promise<void>;
  /** Resolves when the channel is listened to. Rejects with `StoreAway` while there is no connection. */
  join(channel: string): Promise<void>;
  leave(channel: string): void;
  close(): Promise<void>;
}

/** A connection that does not answer within a command's time is given up, however healthy its socket looks. */
const BEAT_MS = 2_000;
const CATCH_UP_RETRY_MS = 250;
/** Channels named in one command. */
const BATCH = 500;

/** Keeps a subscribing connection open: when one is lost, another is opened, for ever, with every channel. */
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

  /** Joins every channel. From here on whoever comes joins by themselves, so none is forgotten in between. */
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

  /** Listens until the connection ends, is deaf, or its slot moves to another node. */
  async function listen(connection: Redis, again: boolean): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, stopping.signal]);
    const end = (): void => over.abort();
    connection.once('end', end);
    connection.once('moved', end);
    if (connection.status === 'end') end();
    await Promise.all([beat(connection, over, signal), again ? catchUp(signal) : null]);
    await drop(connection);
  }

  async function beat(connection: Redis, over: AbortController, signal: AbortSignal): Promise<void> {
    while (await pause(BEAT_MS, signal)) {
      try {
        await connection.ping();
      } catch (error) {
        log.debug({ error: String(error) }, 'the subscribing connection to Redis does not answer');
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
        log.debug({ error: String(error) }, 'could not catch up with Redis: trying again');
        await pause(CATCH_UP_RETRY_MS, signal);
      }
    }
  }

  async function run(first: Redis): Promise<void> {
    await listen(first, false);
    let attempt = 0;
    while (!stopping.signal.aborted) {
      if (attempt === 0)
        log.warn({}, 'lost the subscribing connection to Redis: live updates are interrupted');
      attempt += 1;
      try {
        const connection = await options.open();
        await enter(connection);
        log.info({ channels: options.channels().length, attempt }, 'live updates from Redis go on');
        attempt = 0;
        await listen(connection, true);
      } catch (error) {
        log.debug({ attempt, error: String(error) }, 'could not open a subscribing connection to Redis');
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
      if (live === null) throw new StoreAway('Redis is out of reach: nothing can be watched', 'ECONNREFUSED');
      await reach(subscribe(live, [channel]));
    },
    leave(channel) {
      if (live === null) return;
      const left = sharded ? live.sunsubscribe(channel) : live.unsubscribe(channel);
      // The next connection no longer has it.
      left.catch(error => log.debug({ error: String(error) }, 'could not leave a channel'));
    },
    async close() {
      stopping.abort();
      await running;
    },
  };
}

/** False when the signal aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return delay(ms, true, { signal }).catch(() => false);
}
