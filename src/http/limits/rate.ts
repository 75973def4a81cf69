import { LRUCache } from 'lru-cache';
import { withDeadline } from '../../concurrency/deadline.ts';
import { StoreUnavailable } from '../../jobs/errors.ts';
import type { Log } from '../../log.ts';
import type { Rate, RateAnswer, SharedRates } from '../../rate.ts';

/** Limits requests per key and time window. Evenly spaced requests never exceed it; a burst may use it up at once. */
export interface RateLimiter {
  /** Takes one request from the budget of a key. A promise only when the count is shared. */
  take(key: string): RateAnswer | Promise<RateAnswer>;
}

/** Number of keys counted. Beyond it, the least recently used ones start over. */
const MAX_KEYS = 100_000;
/** How long a request waits for the shared count. */
const SHARED_TIMEOUT_MS = 500;
/** How long the shared count is not used after it failed. */
const SHARED_PAUSE_MS = 1_000;

/**
 * The generic cell rate algorithm (ITU-T I.371): one number per key, no timers. Requests, sockets and their operations
 * share one limiter, so that none is a way around another.
 */
export function createRateLimiter(rate: Rate, now: () => number = () => performance.now()) {
  const interval = rate.windowMs / rate.limit;
  // The time at which the budget of a key is full again.
  const fullAt = new LRUCache<string, number>({ max: MAX_KEYS });
  return {
    take(key: string): RateAnswer {
      const at = now();
      const before = Math.max(fullAt.get(key) ?? 0, at);
      const after = before + interval;
      const over = after - at - rate.windowMs;
      // Tolerates rounding errors, which could cost the last request of a budget.
      if (over > interval / 1e6) {
        return { ok: false, limit: rate.limit, remaining: 0, retryAfterMs: Math.ceil(over) };
      }
      fullAt.set(key, after);
      const remaining = Math.floor((rate.windowMs - (after - at)) / interval + 1e-6);
      return { ok: true, limit: rate.limit, remaining, retryAfterMs: 0 };
    },
  };
}

/**
 * Counts together with the other gateways. While the shared count is unavailable, each gateway counts alone: a caller then
 * has at most one budget per gateway, and no request is rejected for that reason or goes uncounted.
 */
export function createSharedRateLimiter(
  rate: Rate,
  shared: SharedRates,
  log: Log,
  now: () => number = () => performance.now(),
): RateLimiter {
  const local = createRateLimiter(rate, now);
  let localUntil = 0;
  return {
    async take(key) {
      if (now() < localUntil) return local.take(key);
      try {
        return await withDeadline(shared.take(key, rate), SHARED_TIMEOUT_MS, () => {
          throw new StoreUnavailable('The shared request count timed out', 'ETIMEDOUT');
        });
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        if (now() >= localUntil)
          log.warn({ err: error }, 'the shared request count is unavailable, counting locally');
        localUntil = now() + SHARED_PAUSE_MS;
        return local.take(key);
      }
    },
  };
}
