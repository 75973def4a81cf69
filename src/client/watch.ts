import { GatewayError } from './errors.ts';
import { JobProgressDocument, type JobSnapshotFragment as JobSnapshot } from './generated/operations.ts';
import { createLatest } from './latest.ts';
import type { Transport } from './transport.ts';

const PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

export interface Watching {
  /** In the order in which they are tried. */
  readonly transports: readonly Transport[];
  /** How long a watch goes on without a snapshot once its connection broke, in milliseconds. */
  readonly patience: number;
  /** The job as it is; null when there is none. */
  look(id: string, signal: AbortSignal): Promise<JobSnapshot | null>;
}

/** A job's snapshots. `return()` settles at once, also while `next()` waits. */
export type JobWatch = AsyncIterableIterator<JobSnapshot, undefined>;

/** Every status that a job can have. */
export const JOB_STATUSES = ['QUEUED', 'PROCESSING', 'COMPLETED', 'ERROR', 'CANCELED'] as const;

/** True for the statuses that a job does not leave. */
export function isFinal(job: Pick<JobSnapshot, 'status'>): boolean {
  return job.status !== 'QUEUED' && job.status !== 'PROCESSING';
}

/** Makes the function behind `Client.watch`. A transport that proved to work is tried first from then on. */
export function createWatch(watching: Watching): (id: string, signal?: AbortSignal) => JobWatch {
  const order = [...watching.transports];
  if (order.length === 0) throw new TypeError('There is no transport to watch by');

  return (id, signal) => {
    const left = new AbortController();
    const both = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]);
    const snapshots = follow(watching, order, id, both);
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      async next() {
        try {
          const { value, done } = await snapshots.next();
          return done === true ? { value: undefined, done } : { value, done: false };
        } catch (error) {
          if (left.signal.aborted) return { value: undefined, done: true };
          throw error;
        }
      },
      async return() {
        left.abort();
        return { value: undefined, done: true };
      },
    };
  };
}

/** Ends after the final snapshot. Never gives a revision twice, or one that is older than the last. */
async function* follow(
  watching: Watching,
  order: Transport[],
  id: string,
  signal: AbortSignal,
): AsyncGenerator<JobSnapshot, undefined> {
  let revision = 0;
  let failures = 0;
  let brokenSince: number | null = null;
  let place = 0;
  for (;;) {
    signal.throwIfAborted();
    const transport = order[place % order.length];
    if (transport === undefined) throw new TypeError('There is no transport to watch by');
    const latest = createLatest<JobSnapshot>();
    const subscription = transport.subscribe(
      JobProgressDocument,
      { jobId: id },
      {
        next: ({ jobProgress }) => latest.offer(jobProgress),
        end: error => latest.end(error),
      },
    );
    const onAbort = (): void => latest.end(new Error('aborted'));
    signal.addEventListener('abort', onAbort);
    try {
      for (let job = await latest.take(); job !== null; job = await latest.take()) {
        signal.throwIfAborted();
        failures = 0;
        brokenSince = null;
        prefer(order, transport);
        place = 0;
        if (job.revision <= revision) continue;
        revision = job.revision;
        yield job;
        if (isFinal(job)) return;
      }
      signal.throwIfAborted();
      // Completed before its end: it was deleted, or a router between us and the gateway lost its own connection.
      if ((await watching.look(id, signal)) === null) {
        throw new GatewayError('not-found', `The job ${id} was deleted`);
      }
      failures += 1;
      brokenSince ??= Date.now();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof GatewayError) || !error.retryable) throw error;
      failures += 1;
      brokenSince ??= Date.now();
      if (Date.now() - brokenSince > watching.patience) throw error;
      if (!subscription.reached) {
        place += 1;
        // The other ways are tried at once; a pause is for when none of them goes.
        if (place % order.length !== 0) continue;
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      subscription.stop();
    }
    await pause(
      Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2),
      signal,
    );
  }
}

function prefer(order: Transport[], transport: Transport): void {
  const at = order.indexOf(transport);
  if (at > 0) order.unshift(...order.splice(at, 1));
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>(resolve => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
  });
  signal.throwIfAborted();
}
