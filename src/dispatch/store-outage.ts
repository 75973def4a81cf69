import type { Clock, Ledger } from '../jobs/ports.ts';

/** The ledger, and since when its writes fail. */
export interface WatchedLedger {
  readonly ledger: Ledger;
  /** Milliseconds since 1970; null while they succeed. */
  awaySince(): number | null;
}

/** Watches the writes of the lanes, which renew their leases all the time, so an outage and its end are noticed without a job. */
export function watchWrites(ledger: Ledger, now: Clock): WatchedLedger {
  let since: number | null = null;
  function watched<A extends unknown[], R>(call: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
    return async (...args) => {
      try {
        const result = await call(...args);
        since = null;
        return result;
      } catch (error) {
        since ??= now();
        throw error;
      }
    };
  }
  return {
    ledger: {
      ...ledger,
      keepLanes: watched(ledger.keepLanes),
      claim: watched(ledger.claim),
      commit: watched(ledger.commit),
    },
    awaySince: () => since,
  };
}
