import { createJobBatches, type JobBatches } from './batches/batches.ts';
import { changeFrom, type JobStream, type WatchOptions, watchJob } from './changes.ts';
import type { Place, RunningLimits } from './claims.ts';
import type { Delivery } from './delivery.ts';
import type { Previews } from './image-stores.ts';
import { type Caller, imagesOf, isFinal, type Job, maySee, type StoredImage } from './job.ts';
import { tagsOf } from './labels.ts';
import type { Usage } from './limits.ts';
import type { Feed, JobFilter, JobPage, JobRange } from './ports.ts';
import type { EditInput } from './request.ts';
import { createLeftovers } from './submit/leftovers.ts';
import type { SubmitOutcome } from './submit/outcome.ts';
import { createSubmitter, type SubmitterOptions } from './submit/submit.ts';
import type { RequestScope } from './trace.ts';
import { createUpdates, type UpdatesOptions, type UpdatesStream } from './updates/updates.ts';

export type CancelOutcome =
  | { kind: 'canceled' | 'already-final' | 'pending'; job: Job }
  | { kind: 'not-found' };

export type RetryOutcome = SubmitOutcome | { ok: false; failure: null; reason: 'not-found' | 'not-final' };

export interface JobsOptions extends Omit<SubmitterOptions, 'leftovers' | 'find'> {
  readonly feed: Feed;
  readonly previews: Previews;
  /** Milliseconds that a job and its images are kept after its end. */
  readonly jobTtlMs: number;
  /** How long cancel and delete wait for the engine to stop, in milliseconds. */
  readonly cancelWaitMs: number;
  /** Unset: no policy limits how many jobs of a caller run. */
  readonly running?: RunningLimits | undefined;
  /** Removes a file that the engine wrote, if it can be reached. */
  readonly removeEngineFile: (enginePath: string) => Promise<void>;
}

/** Everything that REST and GraphQL do with jobs. Another caller's job looks the same as one that does not exist. */
export interface Jobs {
  /** Loads the images, then stores the job. A job is durable once this resolves. */
  submit(input: EditInput, caller: Caller, request?: RequestScope): Promise<SubmitOutcome>;
  get(id: string, caller: Caller): Promise<Job | null>;
  /** Reads the store once for any number of ids. */
  getMany(ids: readonly string[], caller: Caller): Promise<(Job | null)[]>;
  /** The caller's jobs; an operator's are those of all callers. */
  list(query: Omit<JobFilter, 'owner'> & JobRange, caller: Caller): Promise<JobPage>;
  /** How many jobs `list` has on all pages; null where they would have to be counted one by one: with labels. */
  total(filter: Omit<JobFilter, 'owner'>, caller: Caller): Promise<number | null>;
  watch(id: string, caller: Caller, options?: WatchOptions): Promise<JobStream | null>;
  /** The changes of every job of the caller; an operator's are those of all callers unless they want only their own. */
  watchAll(
    wanted: Omit<UpdatesOptions, 'owner'> & { readonly mine: boolean },
    caller: Caller,
  ): Promise<UpdatesStream>;
  /** Resolves once the engine has stopped, or with `pending` after `cancelWaitMs`. */
  cancel(id: string, caller: Caller): Promise<CancelOutcome>;
  /** Cancels the job, then removes its record, inputs and outputs. False if there is no such job. */
  remove(id: string, caller: Caller): Promise<boolean>;
  /** Submits a new job with exactly the same request. */
  retry(id: string, caller: Caller, request?: RequestScope): Promise<RetryOutcome>;
  readonly batches: JobBatches;
  /** Whether the file of an input image is stored. */
  hasInput(image: StoredImage): Promise<boolean>;
  /** Deliveries to the job's webhook, done and pending, oldest first. */
  deliveries(job: Job): Promise<readonly Delivery[]>;
  /** Null if it does not wait. */
  place(job: Job): Promise<Place | null>;
  /** What an identified caller uses of its limits; null for others, which have none. */
  usage(caller: Caller): Promise<Usage | null>;
  /** Removes up to `limit` expired jobs; returns how many. */
  sweep(limit: number): Promise<number>;
}

/** Holds no resources that would have to be closed. */
export function createJobs(options: JobsOptions): Jobs {
  const { ledger, feed, artifacts, previews, now } = options;
  const leftovers = createLeftovers(artifacts);
  const updates = createUpdates(ledger, feed);
  const submitter = createSubmitter({ ...options, leftovers, find: visible });

  async function visible(id: string, caller: Caller): Promise<Job | null> {
    const job = await ledger.get(id);
    return job !== null && maySee(job, caller) ? job : null;
  }

  async function cancel(id: string, caller: Caller): Promise<CancelOutcome> {
    const job = await visible(id, caller);
    if (job === null) return { kind: 'not-found' };
    if (isFinal(job.status)) return { kind: 'already-final', job };
    const at = now();
    const request = { type: 'cancelRequested', at, expiresAt: at + options.jobTtlMs } as const;
    const change = await changeFrom(ledger, job, request, null);
    if (change.kind !== 'ok') return { kind: 'not-found' };
    const newest = isFinal(change.job.status) ? change.job : await untilStopped(change.job);
    if (newest === null) return { kind: 'not-found' };
    if (!isFinal(newest.status)) return { kind: 'pending', job: newest };
    return { kind: newest.status === 'CANCELED' ? 'canceled' : 'already-final', job: newest };
  }

  /** The job once its engine has stopped, or as it is after `cancelWaitMs`; null: it was deleted. */
  async function untilStopped(job: Job): Promise<Job | null> {
    const stream = await watchJob(ledger, feed, job.id);
    if (stream === null) return null;
    const deadline = setTimeout(() => void stream.return(), options.cancelWaitMs);
    try {
      let newest = job;
      for await (const snapshot of stream) newest = snapshot;
      return newest;
    } finally {
      clearTimeout(deadline);
      await stream.return();
    }
  }

  async function erase(job: Job): Promise<boolean> {
    // A job that has ended writes nothing more, so its images are removed first: if their store is unavailable, the
    // record stays and the next delete or sweep starts over. A running job writes until its record is gone.
    if (isFinal(job.status)) await eraseImages(job);
    const removed = await ledger.remove(job.id);
    if (!isFinal(job.status)) await eraseImages(job);
    await eraseShared(job);
    return removed;
  }

  /** Images that several jobs of a batch use are removed after the last of its jobs. */
  async function eraseShared({ batch, request }: Job): Promise<void> {
    const shared = imagesOf(request).filter(image => image.shared === true);
    if (batch === null || shared.length === 0 || (await ledger.batches.read(batch.id)) !== null) return;
    await leftovers.remove(shared.map(image => image.key));
  }

  async function eraseImages(job: Job): Promise<void> {
    const outputs = await artifacts.list(`outputs/${job.id}`);
    const inputs = imagesOf(job.request).filter(image => image.shared !== true);
    const keys = [...inputs.map(image => image.key), ...outputs.map(output => output.key)];
    await Promise.all([
      ...keys.map(key => artifacts.remove(key)),
      ...job.outputs.map(output => options.removeEngineFile(output.enginePath)),
      previews.drop(job.id),
    ]);
  }

  return {
    submit: submitter.submit,
    get: visible,
    async getMany(ids, caller) {
      const jobs = await ledger.getMany(ids);
      return jobs.map(job => (job !== null && maySee(job, caller) ? job : null));
    },
    list: (query, caller) => ledger.list({ ...query, owner: ownerFor(caller) }),
    total: async ({ statuses, labels }, caller) =>
      labels !== undefined && tagsOf(labels).length > 0
        ? null
        : ledger.total({ owner: ownerFor(caller), statuses }),
    async watch(id, caller, wanted) {
      return (await visible(id, caller)) === null ? null : watchJob(ledger, feed, id, wanted);
    },
    watchAll: ({ mine, ...wanted }, caller) =>
      updates.watch({ ...wanted, owner: mine ? caller.id : ownerFor(caller) }),
    cancel,
    async remove(id, caller) {
      const outcome = await cancel(id, caller);
      return outcome.kind === 'not-found' ? false : erase(outcome.job);
    },
    async retry(id, caller, request) {
      const job = await visible(id, caller);
      if (job === null) return { ok: false, failure: null, reason: 'not-found' };
      if (!isFinal(job.status)) return { ok: false, failure: null, reason: 'not-final' };
      return submitter.resubmit(job, caller, request);
    },
    batches: createJobBatches({ ledger, feed, submitter, now, cancel }),
    hasInput: async ({ key }) => (await artifacts.size(key)) !== null,
    deliveries: async job => (job.request.webhook === null ? [] : ledger.outbox.of(job.id)),
    place: job => ledger.place(job, options.running),
    usage: async ({ id }) => (id === null ? null : ledger.usage(id)),
    async sweep(limit) {
      await leftovers.sweep();
      const expired = await ledger.expired(now(), limit);
      const failures: unknown[] = [];
      // One that cannot be removed keeps no other.
      for (const job of expired) await erase(job).catch(error => failures.push(error));
      if (failures.length > 0) throw failures[0];
      return expired.length;
    },
  };
}

/** The owner of the jobs that a caller may list; null: of any. */
function ownerFor(caller: Caller): string | null {
  return caller.operator ? null : caller.id;
}
