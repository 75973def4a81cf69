/** Requests in a time, as `RATE_LIMIT=100/1m` says. */
export interface Rate {
  readonly limit: number;
  readonly windowMs: number;
}

/** What is left to somebody. Times are milliseconds. */
export interface RateAnswer {
  readonly ok: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Until one more is taken; 0 when it is now. */
  readonly retryAfterMs: number;
}

/** The count of requests that many gateways keep together: a port of the shared store. */
export interface SharedRates {
  /** Takes one from the budget of `key`, if there is one. Rejects with `StoreAway` when the store is out of reach. */
  take(key: string, rate: Rate): Promise<RateAnswer>;
}
