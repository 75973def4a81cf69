import type { SharedRates } from '../../rate.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber, reach, unexpected } from './replies.ts';

/** One budget per key for all gateways, counted by one script in whole microseconds. */
export function createRedisRates(client: Client, keys: Keys): SharedRates {
  return {
    async take(key, { limit, windowMs }) {
      const budget = windowMs * 1000;
      const interval = Math.max(1, Math.floor(budget / limit));
      const reply = await reach(client.qeTakeRate(keys.rate(key), interval, budget));
      const [taken, micros] = asList(reply).map(asNumber);
      if (taken === undefined || micros === undefined) throw unexpected(reply);
      if (taken !== 1) return { ok: false, limit, remaining: 0, retryAfterMs: Math.ceil(micros / 1000) };
      const remaining = Math.min(limit - 1, Math.floor(micros / interval));
      return { ok: true, limit, remaining, retryAfterMs: 0 };
    },
  };
}
