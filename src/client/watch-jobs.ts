import { subscribePersistently } from './attempt.ts';
import type { Transport } from './connection.ts';
import { type GatewayError, unreachable } from './errors.ts';
import {
  JobUpdatesDocument,
  type JobUpdatesSubscription,
  type JobUpdatesSubscriptionVariables,
} from './generated/operations.ts';
import { iterate } from './iterate.ts';

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
  let { since } = wanted;
  await subscribePersistently({
    order,
    patience: milliseconds,
    operation: JobUpdatesDocument,
    variables: () => ({ ...wanted, since }),
    show({ jobUpdates }) {
      since = jobUpdates.cursor;
      take(jobUpdates);
      return 'new';
    },
    whyCompleted: async () => unreachable('The gateway ended the subscription'),
    missing: 'No updates of jobs arrived in time',
    signal,
    onRetry,
  });
}

/** Both, one after the other: the newest state of each job. */
function joinUpdates(held: JobUpdates, next: JobUpdates): JobUpdates {
  if (next.reset) return next;
  const newest = new Map([...held.jobs, ...next.jobs].map(job => [job.id, job]));
  const removed = new Set([...held.removed, ...next.removed]);
  for (const id of removed) newest.delete(id);
  return { cursor: next.cursor, reset: held.reset, jobs: [...newest.values()], removed: [...removed] };
}
