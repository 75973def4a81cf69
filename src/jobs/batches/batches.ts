import { mapAtMost } from '../../concurrency/bounded.ts';
import { type Caller, type Job, type JobStatus, maySee } from '../job.ts';
import type { BatchJobsQuery, Clock, Feed, JobPage, Ledger } from '../ports.ts';
import type { EditInput } from '../request.ts';
import type { BatchOutcome } from '../submit/outcome.ts';
import type { Submitter } from '../submit/submit.ts';
import type { RequestScope } from '../trace.ts';
import { BATCH_LIMIT, type Batch, etaOf, hasEnded } from './batch.ts';
import { type BatchStream, watchBatch } from './watch.ts';

/** `pending`: engines have not stopped yet; the jobs end as soon as they have. */
export type CancelBatchOutcome = { kind: 'ended' | 'pending'; batch: Batch } | { kind: 'not-found' };

export type RetryFailedOutcome =
  | BatchOutcome
  | { ok: false; failure: null; reason: 'not-found' | 'none-failed' };

/** What REST and GraphQL do with batches. Another caller's batch looks the same as one that does not exist. */
export interface JobBatches {
  /** Loads the images, then stores all jobs, or none. The first fault names its edit. */
  submit(
    edits: readonly EditInput[],
    idempotencyKey: string | null,
    caller: Caller,
    request?: RequestScope,
  ): Promise<BatchOutcome>;
  get(id: string, caller: Caller): Promise<Batch | null>;
  /** In the order of the ids; null for those that do not exist. Reads one by one: its callers limit the number. */
  getMany(ids: readonly string[], caller: Caller): Promise<(Batch | null)[]>;
  /** The jobs of a batch that its caller may see. */
  jobs(query: BatchJobsQuery): Promise<JobPage>;
  /** Seconds until all jobs of a batch have ended, as `etaOf`. */
  etaOf(batch: Batch): number | null;
  watch(id: string, caller: Caller, perSecond?: number): Promise<BatchStream | null>;
  /** Cancels what has not ended. Resolves once the engines have stopped, or with `pending` after `cancelWaitMs`. */
  cancel(id: string, caller: Caller): Promise<CancelBatchOutcome>;
  /** Submits the jobs that have failed so far again, with the same requests, as a new batch. Canceled ones are not among them. */
  retryFailed(id: string, caller: Caller, request?: RequestScope): Promise<RetryFailedOutcome>;
}

export interface JobBatchesOptions {
  readonly ledger: Ledger;
  readonly feed: Feed;
  readonly submitter: Submitter;
  readonly now: Clock;
  /** Cancels a job. */
  readonly cancel: (id: string, caller: Caller) => Promise<{ readonly kind: string }>;
}

/** Jobs that are canceled at once: each may wait for its engine, which has a few at most. */
const CANCELS_AT_ONCE = 32;

export function createJobBatches({ ledger, feed, submitter, now, cancel }: JobBatchesOptions): JobBatches {
  const { batches } = ledger;

  async function visible(id: string, caller: Caller): Promise<Batch | null> {
    const batch = await batches.read(id);
    return batch !== null && maySee(batch, caller) ? batch : null;
  }

  async function all(batch: string, statuses: readonly JobStatus[]): Promise<readonly Job[]> {
    return (await batches.jobs({ batch, statuses, first: BATCH_LIMIT })).jobs;
  }

  return {
    submit: submitter.submitMany,
    get: visible,
    getMany: (ids, caller) => Promise.all(ids.map(id => visible(id, caller))),
    jobs: query => batches.jobs(query),
    etaOf: batch => etaOf(batch, now()),
    async watch(id, caller, perSecond) {
      return (await visible(id, caller)) === null ? null : watchBatch(batches, feed, id, perSecond);
    },
    async cancel(id, caller) {
      if ((await visible(id, caller)) === null) return { kind: 'not-found' };
      // Those that wait first, and the last of them first: none should start while the others are canceled.
      const waiting = await all(id, ['QUEUED']);
      await mapAtMost(CANCELS_AT_ONCE, waiting.toReversed(), job => cancel(job.id, caller));
      const running = await all(id, ['QUEUED', 'PROCESSING']);
      await mapAtMost(CANCELS_AT_ONCE, running, job => cancel(job.id, caller));
      const batch = await visible(id, caller);
      if (batch === null) return { kind: 'not-found' };
      return { kind: hasEnded(batch) ? 'ended' : 'pending', batch };
    },
    async retryFailed(id, caller, request) {
      if ((await visible(id, caller)) === null) return { ok: false, failure: null, reason: 'not-found' };
      const failed = await all(id, ['ERROR']);
      if (failed.length === 0) return { ok: false, failure: null, reason: 'none-failed' };
      return submitter.resubmitMany(failed, caller, request);
    },
  };
}
