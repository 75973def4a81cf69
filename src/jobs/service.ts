import { type Caller, maySee } from './caller.ts';
import { changeFrom } from './change.ts';
import { isFinal, type Job } from './job.ts';
import { createLeftovers } from './leftovers.ts';
import type { Feed, JobPage, JobQuery, Previews } from './ports.ts';
import type { EditInput } from './request.ts';
import { createSubmits, type SubmitOutcome, type SubmitsOptions } from './submit.ts';
import { type JobStream, watchJob } from './watch.ts';
import type { Delivery } from './webhook.ts';

export type CancelOutcome =
  | { kind: 'canceled' | 'already-final' | 'pending'; job: Job }
  | { kind: 'not-found' };

export type RetryOutcome = SubmitOutcome | { ok: false; failure: null; reason: 'not-found' | 'not-final' };

export interface JobsOptions extends Omit<SubmitsOptions, 'leftovers' | 'find'> {
  readonly feed: Feed;
  readonly previews: Previews;
  /** Milliseconds after its end that a job and its bytes are kept. */
  readonly jobTtlMs: number;
  /** How long cancel and delete wait for the engine to let go, in milliseconds. */
  readonly cancelWaitMs: number;
  /** Removes a file that the engine wrote, where it can be reached. */
  readonly removeEngineFile: (enginePath: string) => Promise<void>;
}

/** Everything a face can do with jobs. Another caller's job is never told apart from one that is not there. */
export interface Jobs {
  /** Fetches the pictures, then stores the job: once it answers, the job is not lost. */
  submit(input: EditInput, caller: Caller, signal?: AbortSignal): Promise<SubmitOutcome>;
  get(id: string, caller: Caller): Promise<Job | null>;
  /** One read for any number of ids. */
  getMany(ids: readonly string[], caller: Caller): Promise<(Job | null)[]>;
  list(query: Omit<JobQuery, 'owner'>, caller: Caller): Promise<JobPage>;
  watch(id: string, caller: Caller): Promise<JobStream | null>;
  /** Resolves when the engine let go of it, or after `cancelWaitMs` with the cancel still under way. */
  cancel(id: string, caller: Caller): Promise<CancelOutcome>;
  /** Cancels, then removes the record, inputs and outputs. False when there is no such job. */
  remove(id: string, caller: Caller): Promise<boolean>;
  /** A new job with the very same request. */
  retry(id: string, caller: Caller): Promise<RetryOutcome>;
  /** What the job's webhook was told or is to be told, oldest first. */
  deliveries(job: Job): Promise<readonly Delivery[]>;
  /** Jobs that run before this one; null when it does not wait. */
  ahead(job: Job): Promise<number | null>;
  /** Removes up to `limit` jobs whose time is over; returns how many. */
  sweep(limit: number): Promise<number>;
}

/** Wires the service; holds nothing that would have to be stopped. */
export function createJobs(options: JobsOptions): Jobs {
  const { ledger, feed, artifacts, previews, now } = options;
  const leftovers = createLeftovers(artifacts);
  const submits = createSubmits({ ...options, leftovers, find: visible });

  async function visible(id: string, caller: Caller): Promise<Job | null> {
    const job = await ledger.get(id);
    return job !== null && maySee(job, caller) ? job : null;
  }

  async function cancel(id: string, caller: Caller): Promise<CancelOutcome> {
    const job = await visible(id, caller);
    if (job === null) return { kind: 'not-found' };
    if (isFinal(job.status)) return { kind: 'already-final', job };
    const stream = await watchJob(ledger, feed, id);
    if (stream === null) return { kind: 'not-found' };
    const deadline = setTimeout(() => void stream.return(), options.cancelWaitMs);
    try {
      const at = now();
      const asked = await changeFrom(
        ledger,
        job,
        { type: 'cancelRequested', at, expiresAt: at + options.jobTtlMs },
        null,
      );
      if (asked.kind !== 'ok') return { kind: 'not-found' };
      let newest = asked.job;
      for await (const snapshot of stream) newest = snapshot;
      if (!isFinal(newest.status)) return { kind: 'pending', job: newest };
      return { kind: newest.status === 'CANCELED' ? 'canceled' : 'already-final', job: newest };
    } finally {
      clearTimeout(deadline);
      await stream.return();
    }
  }

  async function erase(job: Job): Promise<boolean> {
    // Nobody writes for a job that has ended, so its bytes go first: while their store is away the record stays, and
    // whoever deletes or sweeps it next begins anew. One that has not ended would go on writing until its record goes.
    if (isFinal(job.status)) await eraseBytes(job);
    const removed = await ledger.remove(job.id);
    if (!isFinal(job.status)) await eraseBytes(job);
    return removed;
  }

  async function eraseBytes(job: Job): Promise<void> {
    const outputs = await artifacts.list(`outputs/${job.id}`);
    const keys = [...job.request.images.map(image => image.key), ...outputs.map(output => output.key)];
    await Promise.all([
      ...keys.map(key => artifacts.remove(key)),
      ...job.outputs.map(output => options.removeEngineFile(output.enginePath)),
      previews.drop(job.id),
    ]);
  }

  return {
    submit: submits.submit,
    get: visible,
    async getMany(ids, caller) {
      const jobs = await ledger.getMany(ids);
      return jobs.map(job => (job !== null && maySee(job, caller) ? job : null));
    },
    list: (query, caller) => ledger.list({ ...query, owner: caller.operator ? null : caller.id }),
    async watch(id, caller) {
      return (await visible(id, caller)) === null ? null : watchJob(ledger, feed, id);
    },
    cancel,
    async remove(id, caller) {
      const outcome = await cancel(id, caller);
      return outcome.kind === 'not-found' ? false : erase(outcome.job);
    },
    async retry(id, caller) {
      const job = await visible(id, caller);
      if (job === null) return { ok: false, failure: null, reason: 'not-found' };
      if (!isFinal(job.status)) return { ok: false, failure: null, reason: 'not-final' };
      return submits.again(job, caller);
    },
    deliveries: async job => (job.request.webhook === null ? [] : ledger.outbox.of(job.id)),
    ahead: job => ledger.ahead(job),
    async sweep(limit) {
      await leftovers.sweep();
      const over = await ledger.expired(now(), limit);
      for (const job of over) await erase(job);
      return over.length;
    },
  };
}
