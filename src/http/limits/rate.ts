/** What is left to somebody. Times are milliseconds. */
export interface RateAnswer {
  readonly ok: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Until one more is taken; 0 when it is now. */
  readonly retryAfterMs: number;
}

/** So many requests a caller and time. Evenly spread ones never meet it; a burst may use it up at once. */
export interface RateLimiter {
  /** Takes one, if there is one. */
  take(key: string): RateAnswer;
}

/** Requests in a time, as `RATE_LIMIT=100/1m` says. */
export interface Rate {
  readonly limit: number;
  readonly windowMs: number;
}

/** So many keys are told apart; beyond, those that were asked least lately begin anew. */
const MAX_KEYS = 100_000;

/**
 * The generic cell rate algorithm (ITU-T I.371): one number a key, no timers. One limiter serves requests, sockets and
 * their operations, so that none is a way around another.
 */
export function createRateLimiter(rate: Rate, now: () => number = () => performance.now()): RateLimiter {
  const interval = rate.windowMs / rate.limit;
  // When the bucket of a key is full again. Insertion order is the order of last use.
  const fullAt = new Map<string, number>();
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
      fullAt.delete(key);
      fullAt.set(key, after);
      const oldest = fullAt.keys().next();
      if (fullAt.size > MAX_KEYS && !oldest.done) fullAt.delete(oldest.value);
      const remaining = Math.floor((rate.windowMs - (after - at)) / interval + 1e-6);
      return { ok: true, limit: rate.limit, remaining, retryAfterMs: 0 };
    },
  };
}
