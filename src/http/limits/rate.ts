import { LRUCache } from 'lru-cache';
import { StoreAway } from '../../jobs/store-away.ts';
import type { Log } from '../../log.ts';
import type { Rate, RateAnswer, SharedRates } from '../../rate.ts';

/** So many requests a caller and time. Evenly spread ones never meet it; a burst may use it up at once. */
export interface RateLimiter {
  /** Takes one, if there is one. A promise only where others have to be asked. */
  take(key: string): RateAnswer | Promise<RateAnswer>;
}

/** A limiter that asks nobody. */
export interface LocalRateLimiter extends RateLimiter {
  take(key: string): RateAnswer;
}

/** So many keys are told apart; beyond, those that were asked least lately begin anew. */
const MAX_KEYS = 100_000;
/** The shared count is no reason to keep a request waiting for longer, in milliseconds. */
const PATIENCE_MS = 500;
/** For so long after it did not answer, the shared count is not asked. Milliseconds. */
const ABSENCE_MS = 1_000;

/**
 * The generic cell rate algorithm (ITU-T I.371): one number a key, no timers. One limiter serves requests, sockets and
 * their operations, so that none is a way around another.
 */
export function createRateLimiter(rate: Rate, now: () => number = () => performance.now()): LocalRateLimiter {
  const interval = rate.windowMs / rate.limit;
  // When the bucket of a key is full again.
  const fullAt = new LRUCache<string, number>({ max: MAX_KEYS });
  return {
    take(key) {
      const at = now();
      const before = Math.max(fullAt.get(key) ?? 0, at);
      const after = before + interval;
      const over = after - at - rate.windowMs;
      // A millionth of an interval is nothing: it keeps rounding from costing the last one.
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
 * Counts with the other gateways. While the shared count is out of reach each counts for itself, so a caller then has
 * at most one budget a gateway: nobody is refused for it, and nobody comes in uncounted.
 */
export function createSharedRateLimiter(
  rate: Rate,
  shared: SharedRates,
  log: Log,
  now: () => number = () => performance.now(),
): RateLimiter {
  const local = createRateLimiter(rate, now);
  let absentUntil = 0;
  return {
    async take(key) {
      if (now() < absentUntil) return local.take(key);
      try {
        return await withinPatience(shared.take(key, rate));
      } catch (error) {
        if (!(error instanceof StoreAway)) throw error;
        if (now() >= absentUntil)
          log.warn({ error: error.message }, 'requests are counted by this gateway alone');
        absentUntil = now() + ABSENCE_MS;
        return local.take(key);
      }
    },
  };
}

async function withinPatience<T>(call: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new StoreAway('The shared count did not answer in time', 'ETIMEDOUT'));
    }, PATIENCE_MS);
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}
