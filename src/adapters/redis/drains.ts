import type { Drains } from '../../jobs/ports.ts';
import { createListeners } from '../listeners.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { reach } from './replies.ts';

/** The drained engines that gateways share, with what the subscriber needs. */
export interface RedisDrains extends Drains {
  /** A gateway has set one, or may have while this one was not subscribed. */
  announce(): void;
  /** Removes the listeners. */
  close(): void;
}

/** One set; each change is published. */
export function createRedisDrains(client: Client, keys: Keys): RedisDrains {
  const listeners = createListeners();
  return {
    async read() {
      return new Set(await reach(client.smembers(keys.drained)));
    },
    async set(engine, drained) {
      await reach(client.qeSetDrained(keys.drained, keys.prefix, engine, drained ? '1' : '0'));
    },
    onChange: listeners.add,
    announce: listeners.call,
    close: listeners.clear,
  };
}
