import { subscribePersistently } from './attempt.ts';
import type { Transport } from './connection.ts';
import { GatewayError, notFound, unreachable } from './errors.ts';
import {
  JobProgressDocument,
  type JobProgressSubscriptionVariables,
  type JobSnapshotFragment as JobSnapshot,
} from './generated/operations.ts';
import { iterate } from './iterate.ts';

export interface Watching {
  /** In order of preference. */
  readonly transports: readonly Transport[];
  /** How long a watch without a connection retries, in milliseconds. */
  readonly patience: number;
  /** The current state of the job; null when it is unknown. */
  fetchJob(id: string, signal: AbortSignal): Promise<JobSnapshot | null>;
}

/** A job's snapshots. `return()` settles at once, even while `next()` waits, and releases the connection. */
export type JobWatch = AsyncIterableIterator<JobSnapshot, undefined>;

/** Every status of a job. */
export const JOB_STATUSES = ['QUEUED', 'PROCESSING', 'COMPLETED', 'ERROR', 'CANCELED'] as const;

/** True for the statuses that a job does not leave. */
export function isFinal(job: Pick<JobSnapshot, 'status'>): boolean {
  return job.status !== 'QUEUED' && job.status !== 'PROCESSING';
}

/** The variables of the subscription. */
export type Wanted = JobProgressSubscriptionVariables & { readonly jobId: string };

/** `signal` ends the watch with its reason; `onRetry` is called before each retry, with its reason. */
export type Watch = (
  wanted: Wanted,
  signal: AbortSignal,
  onRetry: ((failure: GatewayError) => void) | undefined,
) => JobWatch;

/** Makes the function behind `Client.watch`. A transport that worked is tried first from then on. */
export function createWatch(watching: Watching): Watch {
  const order = [...watching.transports];
  if (order.length === 0) throw new TypeError('There is no transport for a watch');

  return (wanted, signal, onRetry) =>
    iterate<JobSnapshot>(signal, (either, take) =>
      follow({ watching, order, wanted, signal: either, onRetry, take }),
    );
}

interface Following {
  readonly watching: Watching;
  readonly order: Transport[];
  readonly wanted: Wanted;
  readonly signal: AbortSignal;
  readonly onRetry: ((failure: GatewayError) => void) | undefined;
  readonly take: (job: JobSnapshot) => void;
}

/**
 * Resolves after the final snapshot. Never yields a revision twice, nor an older one after a newer. Releases everything,
 * however it ends.
 */
async function follow({ watching, order, wanted, signal, onRetry, take }: Following): Promise<void> {
  let revision = 0;
  await subscribePersistently({
    order,
    patience: watching.patience,
    operation: JobProgressDocument,
    variables: () => wanted,
    show({ jobProgress: job }) {
      const final = isFinal(job);
      if (job.revision <= revision && !final) return 'stale';
      revision = job.revision;
      take(job);
      return final ? 'final' : 'new';
    },
    whyCompleted: either => whyCompleted(watching, wanted.jobId, either),
    missing: 'No snapshot of the job arrived in time',
    signal,
    onRetry,
  });
}

/** The job was deleted, or a router in between lost its connection to the gateway. */
async function whyCompleted(watching: Watching, id: string, signal: AbortSignal): Promise<GatewayError> {
  try {
    const job = await watching.fetchJob(id, signal);
    if (job === null) return notFound(`The job ${id} was deleted`);
    return unreachable('The subscription ended before the job');
  } catch (error) {
    if (signal.aborted || !(error instanceof GatewayError)) throw error;
    return error;
  }
}
