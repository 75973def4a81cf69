import type { Transport } from './connection.ts';
import { GatewayError, notFound, unreachable } from './errors.ts';
import {
  JobProgressDocument,
  type JobProgressSubscriptionVariables,
  type JobSnapshotFragment as JobSnapshot,
} from './generated/operations.ts';
import { backoff, createPatience, pause } from './retry.ts';

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

const OVER = { value: undefined, done: true } as const;

/** Makes the function behind `Client.watch`. A transport that worked is tried first from then on. */
export function createWatch(watching: Watching): Watch {
  const order = [...watching.transports];
  if (order.length === 0) throw new TypeError('There is no transport for a watch');

  return (wanted, signal, onRetry) => {
    const returned = new AbortController();
    const latest = createLatest<JobSnapshot>();
    let started = false;
    let over = false;

    // Runs independently of the reader, so that the loss of a connection is noticed between two calls of `next` too.
    function start(): void {
      started = true;
      const either = AbortSignal.any([signal, returned.signal]);
      follow({ watching, order, wanted, signal: either, onRetry, take: latest.offer }).then(
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
        returned.abort();
        latest.end();
        return OVER;
      },
    };
  };
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
  const patience = createPatience(watching.patience);
  const either = AbortSignal.any([signal, patience.signal]);
  let revision = 0;
  let failures = 0;
  let place = 0;
  try {
    patience.miss(unreachable('No snapshot of the job arrived in time'));
    for (;;) {
      const transport = order[place % order.length];
      if (transport === undefined) throw new TypeError('There is no transport for a watch');
      const { reached, end, least } = await subscribeOnce(transport, wanted, either, job => {
        patience.find();
        prefer(order, transport);
        place = 0;
        if (job.revision <= revision && !isFinal(job)) return;
        revision = job.revision;
        failures = 0;
        take(job);
      });
      if (end === 'final') return;
      const failure = end === 'completed' ? await whyCompleted(watching, wanted.jobId, either) : end;
      if (!failure.retryable) throw failure;
      // A retry does not help at first: the caller's own watches fill the limit. Later the gateway may still be
      // counting this watch's lost connection.
      if (failure.code === 'TOO_MANY_SUBSCRIPTIONS' && revision === 0) throw failure;
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

interface Attempt {
  readonly reached: boolean;
  /** `completed`: by the server, before the job ended. */
  readonly end: 'final' | 'completed' | GatewayError;
  /** The shortest pause before a retry, in milliseconds. */
  readonly least: number;
}

/** Runs one subscription until it ends. Rejects with the signal's reason when that aborts. */
async function subscribeOnce(
  transport: Transport,
  wanted: Wanted,
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
      const subscription = transport.subscribe(JobProgressDocument, wanted, {
        next({ jobProgress }) {
          show(jobProgress);
          if (isFinal(jobProgress)) resolve({ reached: true, end: 'final', least: 0 });
        },
        end: (error, least = 0) =>
          resolve({ reached: subscription.reached, end: error ?? 'completed', least }),
      });
      stop = subscription.stop;
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    stop();
  }
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

function prefer(order: Transport[], transport: Transport): void {
  const at = order.indexOf(transport);
  if (at > 0) order.unshift(...order.splice(at, 1));
}

/** Holds at most one value: the newest that was offered and not taken yet. */
interface Latest<T> {
  offer(value: T): void;
  /** A held value can still be taken, then null. Later calls have no effect. */
  end(): void;
  /** The same, but `take` then rejects with the error. */
  fail(error: unknown): void;
  /** The newest value; null at the end. Calls that wait for a value are served in order. */
  take(): Promise<T | null>;
}

/** A slow reader misses values, so that memory does not grow. */
function createLatest<T extends object>(): Latest<T> {
  let held: T | null = null;
  let ended = false;
  let failure: { readonly error: unknown } | null = null;
  let waiting: (() => void)[] = [];

  function wakeAll(): void {
    const woken = waiting;
    waiting = [];
    for (const wake of woken) wake();
  }

  function end(): void {
    ended = true;
    wakeAll();
  }

  return {
    offer(value) {
      if (ended) return;
      held = value;
      wakeAll();
    },
    end,
    fail(error) {
      if (ended) return;
      failure = { error };
      end();
    },
    async take() {
      while (held === null && !ended) {
        await new Promise<void>(resolve => {
          waiting.push(resolve);
        });
      }
      const value = held;
      held = null;
      if (value === null && failure !== null) throw failure.error;
      return value;
    },
  };
}
