import { prefer, subscribeOnce } from './attempt.ts';
import type { Transport } from './connection.ts';
import { type GatewayError, unreachable } from './errors.ts';
import {
  JobUpdatesDocument,
  type JobUpdatesSubscription,
  type JobUpdatesSubscriptionVariables,
} from './generated/operations.ts';
import { iterate } from './iterate.ts';
import { backoff, createPatience, pause } from './retry.ts';

/** What changed among the jobs: each once, in its newest state. */
export type JobUpdates = JobUpdatesSubscription['jobUpdates'];

/** Updates of jobs. `return()` settles at once, even while `next()` waits, and releases the connection. */
export type JobsWatch = AsyncIterableIterator<JobUpdates, undefined>;

/** `signal` ends the watch with its reason; `onRetry` is called before each retry, with its reason. */
export type WatchJobs = (
  wanted: JobUpdatesSubscriptionVariables,
  signal: AbortSignal,
  onRetry: ((failure: GatewayError) => void) | undefined,
) => JobsWatch;

/** Makes the function behind `Client.watchJobs`; `milliseconds` is how long it retries without a connection. */
export function createWatchJobs(transports: readonly Transport[], milliseconds: number): WatchJobs {
  const order = [...transports];
  if (order.length === 0) throw new TypeError('There is no transport for a watch');

  return (wanted, signal, onRetry) =>
    iterate<JobUpdates>(
      signal,
      (either, take) => follow({ order, milliseconds, wanted, signal: either, onRetry, take }),
      joinUpdates,
    );
}

interface Following {
  readonly order: Transport[];
  readonly milliseconds: number;
  readonly wanted: JobUpdatesSubscriptionVariables;
  readonly signal: AbortSignal;
  readonly onRetry: ((failure: GatewayError) => void) | undefined;
  readonly take: (updates: JobUpdates) => void;
}

/** Continues after the last updates whenever the connection was lost. Releases everything, however it ends. */
async function follow({ order, milliseconds, wanted, signal, onRetry, take }: Following): Promise<void> {
  const patience = createPatience(milliseconds);
  const either = AbortSignal.any([signal, patience.signal]);
  let { since } = wanted;
  let seen = false;
  let failures = 0;
  let place = 0;
  try {
    patience.miss(unreachable('No updates of jobs arrived in time'));
    for (;;) {
      const transport = order[place % order.length];
      if (transport === undefined) throw new TypeError('There is no transport for a watch');
      const variables = { ...wanted, since };
      const show = ({ jobUpdates }: JobUpdatesSubscription): boolean => {
        patience.find();
        prefer(order, transport);
        place = 0;
        failures = 0;
        seen = true;
        since = jobUpdates.cursor;
        take(jobUpdates);
        return false;
      };
      const { reached, end, least } = await subscribeOnce(
        transport,
        JobUpdatesDocument,
        variables,
        either,
        show,
      );
      const failure = typeof end === 'string' ? unreachable('The gateway ended the subscription') : end;
      if (!failure.retryable) throw failure;
      // The caller's own watches fill the limit; later the gateway may still be counting this watch's lost connection.
      if (failure.code === 'TOO_MANY_SUBSCRIPTIONS' && !seen) throw failure;
      patience.miss(failure);
      if (!reached) {
        place += 1;
        // The other transports are tried at once, and a pause follows when all have failed.
        if (place % order.length !== 0) continue;
      }
      failures += 1;
      onRetry?.(failure);
      await pause(Math.max(least, backoff(failures)), either);
    }
  } finally {
    patience.find();
  }
}

/** Both, one after the other: the newest state of each job. */
function joinUpdates(held: JobUpdates, next: JobUpdates): JobUpdates {
  if (next.reset) return next;
  const newest = new Map([...held.jobs, ...next.jobs].map(job => [job.id, job]));
  const removed = new Set([...held.removed, ...next.removed]);
  for (const id of removed) newest.delete(id);
  return { cursor: next.cursor, reset: held.reset, jobs: [...newest.values()], removed: [...removed] };
}
