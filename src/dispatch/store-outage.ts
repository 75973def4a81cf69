import { randomUUID } from 'node:crypto';
import type { Clock, Ledger } from '../jobs/ports.ts';

/** The ledger, and whether its writes fail. */
export interface WatchedLedger {
  readonly ledger: Ledger;
  /** Since when those of lanes do, in milliseconds since 1970; null while they succeed. */
  awaySince(): number | null;
  /**
   * Resolves at once unless a write has failed. Then it writes, and rejects until that succeeds: other writes may be of a kind that
   * a full store still accepts, and callers may send none to a gateway that is not ready.
   */
  tryWrite(): Promise<void>;
}

/** The name of the text that `tryWrite` changes. */
const PROBE = 'write-probe';

/** Watches the writes of the lanes, which renew their leases all the time, so an outage and its end are noticed without a job. */
export function watchWrites(ledger: Ledger, now: Clock): WatchedLedger {
  let since: number | null = null;
  let doubtful = false;

  function watched<A extends unknown[], R>(call: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
    return async (...args) => {
      try {
        return await call(...args);
      } catch (error) {
        doubtful = true;
        throw error;
      }
    };
  }

  function ofLanes<A extends unknown[], R>(call: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
    const write = watched(call);
    return async (...args) => {
      try {
        const result = await write(...args);
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
      submit: watched(ledger.submit),
      batches: { ...ledger.batches, submit: watched(ledger.batches.submit) },
      keepLanes: ofLanes(ledger.keepLanes),
      claim: ofLanes(ledger.claim),
      commit: ofLanes(ledger.commit),
    },
    awaySince: () => since,
    async tryWrite() {
      if (!doubtful) return;
      const { text } = await ledger.agreements.read(PROBE);
      // If it was changed meanwhile, another gateway has written.
      await ledger.agreements.replace(PROBE, text, randomUUID());
      doubtful = false;
    },
  };
}
