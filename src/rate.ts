/** A number of requests per time, such as `RATE_LIMIT=100/1m`. */
export interface Rate {
  readonly limit: number;
  readonly windowMs: number;
}

/** Whether a request is within the rate, and what is left of it. */
export interface RateAnswer {
  readonly ok: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds until the next request is allowed; 0 if it is allowed now. */
  readonly retryAfterMs: number;
}

/** Counts requests for all gateways that share a store. */
export interface SharedRates {
  /** Takes one request from the budget of `key` if any is left. Rejects with `StoreUnavailable` when the store is unreachable. */
  take(key: string, rate: Rate): Promise<RateAnswer>;
}
