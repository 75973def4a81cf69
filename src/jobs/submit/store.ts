import type { Batch, NewBatch } from '../batches/batch.ts';
import { noCounts } from '../batches/batch.ts';
import { type Caller, createJob, type Job, shareOf } from '../job.ts';
import {
  forbidden,
  limitFailure,
  priorityUnder,
  type SubmitLimits,
  submitLimits,
  workOf,
} from '../limits.ts';
import type { BatchSubmitResult, Clock, Idempotency, Ledger, SubmitResult } from '../ports.ts';
import { type JobTrace, parseTraceparent, type RequestScope, traceJob } from '../trace.ts';
import type { Keeper } from './keeper.ts';
import { type BatchOutcome, ofEdit, type Rejected, reject, type SubmitOutcome } from './outcome.ts';

export interface JobStoreOptions {
  readonly ledger: Ledger;
  readonly now: Clock;
  readonly maxQueue: number;
  /** Estimated seconds until a full queue has room again. */
  readonly secondsToRoom: () => number;
  /** The trace that a new job belongs to. Unset: that of its request, if it has one. */
  readonly traceOf?: ((request: RequestScope) => JobTrace | null) | undefined;
}

/** A job before it is stored. */
export type Draft = Pick<Job, 'id' | 'priority' | 'request'>;

/** How drafts are stored: their caller and their images. */
export interface Submission {
  readonly caller: Caller;
  readonly keeper: Keeper;
  readonly idempotency: Idempotency | null;
  readonly scope: RequestScope;
}

/** Stores jobs whose images are stored, within the limits of the queue and of their caller. */
export interface JobStore {
  /** What a key was used for before; null: nothing. */
  repeated(caller: Caller, idempotency: Idempotency): Promise<SubmitOutcome | null>;
  repeatedBatch(caller: Caller, idempotency: Idempotency): Promise<BatchOutcome | null>;
  /** Why the queue has no room for more jobs now; null when it has. The ledger decides again with the submit. */
  withoutRoom(jobs: number): Promise<Rejected | null>;
  /** Removes the images unless the job is stored. */
  job(draft: Draft, submission: Submission): Promise<SubmitOutcome>;
  /** The same for all of them. `editOf` gives the index of the edit that a draft is of, for faults; null: there are none. */
  batch(
    id: string,
    drafts: readonly Draft[],
    submission: Submission,
    editOf: ((draft: number) => number) | null,
  ): Promise<BatchOutcome>;
}

export function createJobStore(options: JobStoreOptions): JobStore {
  const { ledger, now, maxQueue, secondsToRoom, traceOf = traceOfCaller } = options;

  /** Why the caller may not submit a draft; null when it may. */
  function deniedBy({ policy }: Caller, { priority, request }: Draft): Rejected | null {
    const work = workOf(request);
    const failure = forbidden(policy, { workflow: request.workflow, priority, work });
    return failure === null ? null : { ok: false, failure };
  }

  function newJob(
    { id, priority, request }: Draft,
    createdAt: number,
    { caller, scope }: Submission,
    batch: Job['batch'] = null,
  ): Job {
    return createJob({
      id,
      owner: caller.id,
      share: shareOf(caller),
      priority: priorityUnder(caller.policy, priority),
      request,
      createdAt,
      batch,
      trace: traceOf(scope),
    });
  }

  function queueFull(waiting: number, more = 1): Rejected {
    const message =
      more === 1
        ? `The queue is full: ${waiting} jobs are waiting`
        : `The queue has no room for ${more} jobs: ${waiting} are waiting, and it takes ${maxQueue}`;
    const failure = { code: 'QUEUE_FULL', message, field: null, retryAfterSeconds: secondsToRoom() } as const;
    return { ok: false, failure };
  }

  /** The failure of jobs that were not stored. Without limits for a lookup, which exceeds none. */
  function rejection(
    result: Exclude<SubmitResult, { kind: 'stored' | 'repeated' }>,
    jobs: readonly Job[],
    limits: SubmitLimits | null,
  ): Rejected {
    switch (result.kind) {
      case 'idempotency-conflict':
        return reject('INVALID_INPUT', 'was used before with another input', 'idempotencyKey');
      case 'queue-full':
        return queueFull(result.waiting, jobs.length);
      case 'over-limit': {
        if (limits === null) throw new Error('Only a submit with limits exceeds one');
        const work = jobs.reduce((sum, { request }) => sum + workOf(request), 0);
        const time = { now: now(), secondsToRoom: secondsToRoom() };
        return {
          ok: false,
          failure: limitFailure(result.limit, limits, result.used, { jobs: jobs.length, work }, time),
        };
      }
      default:
        return result satisfies never;
    }
  }

  function settle(result: SubmitResult, job: Job | null, limits: SubmitLimits | null): SubmitOutcome {
    switch (result.kind) {
      case 'stored':
        if (job === null) throw new Error('A lookup cannot store a job');
        ledger.onChange?.(null, job, 'submitted');
        return { ok: true, job, repeated: false };
      case 'repeated':
        return { ok: true, job: result.job, repeated: true };
      default:
        return rejection(result, job === null ? [] : [job], limits);
    }
  }

  function settleBatch(
    result: BatchSubmitResult,
    submitted: { readonly batch: NewBatch; readonly jobs: readonly Job[] } | null,
    limits: SubmitLimits | null,
  ): BatchOutcome {
    switch (result.kind) {
      case 'stored':
        if (submitted === null) throw new Error('A lookup cannot store a batch');
        for (const job of submitted.jobs) ledger.onChange?.(null, job, 'submitted');
        return { ok: true, batch: asSubmitted(submitted.batch), repeated: false };
      case 'repeated':
        return { ok: true, batch: result.batch, repeated: true };
      default:
        return rejection(result, submitted?.jobs ?? [], limits);
    }
  }

  return {
    async repeated({ id }, idempotency) {
      const earlier = await ledger.findRepeated(id, idempotency);
      return earlier === null ? null : settle(earlier, null, null);
    },
    async repeatedBatch({ id }, idempotency) {
      const earlier = await ledger.batches.findRepeated(id, idempotency);
      return earlier === null ? null : settleBatch(earlier, null, null);
    },
    async withoutRoom(jobs) {
      const { waiting } = await ledger.count();
      return waiting + jobs > maxQueue ? queueFull(waiting, jobs) : null;
    },
    async job(draft, submission) {
      const { caller, keeper, idempotency } = submission;
      const denied = deniedBy(caller, draft);
      if (denied !== null) {
        await keeper.discard();
        return denied;
      }
      const job = newJob(draft, now(), submission);
      const limits = submitLimits(caller.policy);
      const result = await keeper.commit(() =>
        ledger.submit(job, { maxQueue, idempotency, limits, policy: caller.policy?.name }),
      );
      return settle(result, job, limits);
    },
    async batch(id, drafts, submission, editOf) {
      const { caller, keeper, idempotency } = submission;
      for (const [index, draft] of drafts.entries()) {
        const denied = deniedBy(caller, draft);
        if (denied === null) continue;
        await keeper.discard();
        return editOf === null ? denied : ofEdit(editOf(index), denied);
      }
      const createdAt = now();
      const batch = { id, owner: caller.id, createdAt, total: drafts.length };
      const jobs = drafts.map((draft, index) => newJob(draft, createdAt, submission, { id, index }));
      const limits = submitLimits(caller.policy);
      const result = await keeper.commit(() =>
        ledger.batches.submit(batch, jobs, { maxQueue, idempotency, limits, policy: caller.policy?.name }),
      );
      return settleBatch(result, { batch, jobs }, limits);
    },
  };
}

function asSubmitted(batch: NewBatch): Batch {
  return { ...batch, counts: { ...noCounts(), QUEUED: batch.total }, reached: 0, startedAt: null };
}

function traceOfCaller({ traceparent }: RequestScope): JobTrace | null {
  const parent = parseTraceparent(traceparent);
  return parent === null ? null : traceJob(parent);
}
