import type { SharedRates } from '../../rate.ts';
import type { Client } from './client.ts';
import { reach } from './failure.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber } from './replies.ts';

/** One budget a key, whichever gateway is asked: one script each time, in whole microseconds. */
export function createRedisRates(client: Client, keys: Keys): SharedRates {
  return {
    async take(key, { limit, windowMs }) {
      const budget = windowMs * 1000;
      const interval = Math.max(1, Math.floor(budget / limit));
      const reply = await reach(client.qeTakeRate(keys.rate(key), interval, budget));
      const [taken, micros] = asList(reply).map(asNumber);
      if (taken === undefined || micros === undefined)
        throw new Error('Redis gave an unexpected reply to a count');
      if (taken !== 1) return { ok: false, limit, remaining: 0, retryAfterMs: Math.ceil(micros / 1000) };
      return {
        ok: true,
        limit,
        remaining: Math.min(limit - 1, Math.floor(micros / interval)),
        retryAfterMs: 0,
      };
    },
  };
}
