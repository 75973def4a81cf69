import { pause } from './abort.ts';
import { GatewayError, notFound, unreachable } from './errors.ts';
import { JobProgressDocument, type JobSnapshotFragment as JobSnapshot } from './generated/operations.ts';
import { createLatest } from './latest.ts';
import { createPatience } from './patience.ts';
import { backoff } from './persist.ts';
import type { Transport } from './transport.ts';

export interface Watching {
  /** In the order in which they are tried. */
  readonly transports: readonly Transport[];
  /** How long a watch goes on without a snapshot while it has no connection, in milliseconds. */
  readonly patience: number;
  /** The job as it is; null when there is none. */
  look(id: string, signal: AbortSignal): Promise<JobSnapshot | null>;
}

/** A job's snapshots. `return()` settles at once, also while `next()` waits, and lets the connection go. */
export type JobWatch = AsyncIterableIterator<JobSnapshot, undefined>;

/** Every status that a job can have. */
export const JOB_STATUSES = ['QUEUED', 'PROCESSING', 'COMPLETED', 'ERROR', 'CANCELED'] as const;

/** True for the statuses that a job does not leave. */
export function isFinal(job: Pick<JobSnapshot, 'status'>): boolean {
  return job.status !== 'QUEUED' && job.status !== 'PROCESSING';
}

/** `signal` ends the watch with its reason; `onRetry` is told why, each time before it is tried again. */
export type Watch = (
  id: string,
  signal: AbortSignal,
  onRetry: ((failure: GatewayError) => void) | undefined,
) => JobWatch;

const OVER = { value: undefined, done: true } as const;

/** Makes the function behind `Client.watch`. A transport that proved to work is tried first from then on. */
export function createWatch(watching: Watching): Watch {
  const order = [...watching.transports];
  if (order.length === 0) throw new TypeError('There is no transport to watch by');

  return (id, signal, onRetry) => {
    const left = new AbortController();
    const latest = createLatest<JobSnapshot>();
    let started = false;
    let over = false;

    // The connection does not wait for the reader: who is between two `next` neither keeps it open nor misses its loss.
    function start(): void {
      started = true;
      const either = AbortSignal.any([signal, left.signal]);
      follow({ watching, order, id, signal: either, onRetry, take: latest.offer }).then(
        latest.end,
        latest.fail,
      );
    }

    async function take(): Promise<JobSnapshot | null> {
      try {
        const job = await latest.take();
        signal.throwIfAborted();
        return job;
      } catch (error) {
        if (over) return null;
        over = true;
        throw error;
      }
    }

    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      async next() {
        if (!started && !over) start();
        const job = over ? null : await take();
        return job === null ? OVER : { value: job, done: false };
      },
      async return() {
        over = true;
        left.abort();
        latest.end();
        return OVER;
      },
    };
  };
}

interface Following {
  readonly watching: Watching;
  readonly order: Transport[];
  readonly id: string;
  readonly signal: AbortSignal;
  readonly onRetry: ((failure: GatewayError) => void) | undefined;
  readonly take: (job: JobSnapshot) => void;
}

/**
 * Resolves after the final snapshot. Never gives a revision twice, or one that is older than the last. Whatever it ends
 * by, nothing of it is left.
 */
async function follow({ watching, order, id, signal, onRetry, take }: Following): Promise<void> {
  const patience = createPatience(watching.patience);
  const either = AbortSignal.any([signal, patience.signal]);
  let revision = 0;
  let failures = 0;
  let place = 0;
  try {
    patience.miss(unreachable('Nothing was heard of the job in time'));
    for (;;) {
      const transport = order[place % order.length];
      if (transport === undefined) throw new TypeError('There is no transport to watch by');
      const { reached, end } = await subscribeOnce(transport, id, either, job => {
        patience.find();
        prefer(order, transport);
        place = 0;
        if (job.revision <= revision && !isFinal(job)) return;
        revision = job.revision;
        failures = 0;
        take(job);
      });
      if (end === 'final') return;
      const failure = end === 'completed' ? await whyCompleted(watching, id, either) : end;
      if (!failure.retryable) throw failure;
      // Waiting does not help the first time: what is one too many is the caller's own. Later it may be this watch
      // itself, by a connection that the gateway does not know to be dead.
      if (failure.code === 'TOO_MANY_SUBSCRIPTIONS' && revision === 0) throw failure;
      patience.miss(failure);
      if (!reached) {
        place += 1;
        // The other ways are tried at once; a pause is for when none of them goes.
        if (place % order.length !== 0) continue;
      }
      failures += 1;
      onRetry?.(failure);
      await pause(backoff(failures), either);
    }
  } finally {
    patience.find();
  }
}

interface Attempt {
  readonly reached: boolean;
  /** `completed`: by the other side, before the job's end. */
  readonly end: 'final' | 'completed' | GatewayError;
}

/** One subscription, to its end. Rejects with the signal's reason when that aborts. */
async function subscribeOnce(
  transport: Transport,
  id: string,
  signal: AbortSignal,
  show: (job: JobSnapshot) => void,
): Promise<Attempt> {
  signal.throwIfAborted();
  let onAbort = (): void => {};
  let stop = (): void => {};
  try {
    return await new Promise<Attempt>((resolve, reject) => {
      onAbort = () => {
        stop();
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort);
      const subscription = transport.subscribe(
        JobProgressDocument,
        { jobId: id },
        {
          next({ jobProgress }) {
            show(jobProgress);
            if (isFinal(jobProgress)) resolve({ reached: true, end: 'final' });
          },
          end: error => resolve({ reached: subscription.reached, end: error ?? 'completed' }),
        },
      );
      stop = subscription.stop;
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    stop();
  }
}

/** It was deleted, or a router between us and the gateway lost its own connection. */
async function whyCompleted(watching: Watching, id: string, signal: AbortSignal): Promise<GatewayError> {
  try {
    const job = await watching.look(id, signal);
    if (job === null) return notFound(`The job ${id} was deleted`);
    return unreachable('The watch was ended before the job was');
  } catch (error) {
    if (signal.aborted || !(error instanceof GatewayError)) throw error;
    return error;
  }
}

function prefer(order: Transport[], transport: Transport): void {
  const at = order.indexOf(transport);
  if (at > 0) order.unshift(...order.splice(at, 1));
}
