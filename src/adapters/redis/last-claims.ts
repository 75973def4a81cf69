import { createListeners } from '../../concurrency/listeners.ts';
import type { LastClaim, LastClaims } from '../../jobs/last-claims.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { reach, unexpected } from './replies.ts';

/** The last claims of all gateways, with what the subscriber needs. The script `claim` writes and publishes them. */
export interface RedisLastClaims extends LastClaims {
  /** Passes a message of their channel to the listeners; one that is none has no effect. */
  message(text: string): void;
  /** Removes the listeners. */
  close(): void;
}

/** Starts without listeners. */
export function createRedisLastClaims(client: Client, keys: Keys): RedisLastClaims {
  const listeners = createListeners<[LastClaim]>();
  return {
    async read() {
      const entries = await reach(client.hgetall(keys.lastClaims));
      return Object.entries(entries).map(([engine, value]) => {
        const [, mark, workflow] = /^(\d+) (.*)$/s.exec(value) ?? [];
        if (workflow === undefined) throw unexpected(value);
        return { engine, workflow, mark: Number(mark) };
      });
    },
    async forget({ engine, mark }) {
      await reach(client.qeForgetClaim(keys.lastClaims, engine, mark));
    },
    onChange: listeners.add,
    message(text) {
      const [, mark, engine, workflow] = /^(\d+) (\S+) (.*)$/s.exec(text) ?? [];
      if (engine === undefined || workflow === undefined) return;
      listeners.call({ engine, workflow, mark: Number(mark) });
    },
    close: listeners.clear,
  };
}
