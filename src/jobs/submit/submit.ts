import { randomUUID } from 'node:crypto';
import { mapAtMost } from '../../concurrency/bounded.ts';
import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import { BATCH_LIMIT } from '../batches/batch.ts';
import { seedsOf } from '../batches/variations.ts';
import type { Caller, EditRequest, Job } from '../job.ts';
import type { EditInput, Settings } from '../request.ts';
import type { RequestScope } from '../trace.ts';
import { checkEdit, type RejectWebhook } from './check.ts';
import { createCopies } from './copies.ts';
import { fingerprint, fingerprintOf } from './fingerprint.ts';
import { createIntake } from './intake.ts';
import { createKeeper, type KeptImages } from './keeper.ts';
import type { Leftovers } from './leftovers.ts';
import { type BatchOutcome, ofEdit, type Rejected, reject, type SubmitOutcome } from './outcome.ts';
import type { SourcesOptions } from './sources.ts';
import { createJobStore, type Draft, type JobStoreOptions } from './store.ts';

export interface SubmitterOptions extends SourcesOptions, JobStoreOptions {
  /** Removes the images of failed submits. */
  readonly leftovers: Leftovers;
  readonly workflows: WorkflowCatalog;
  /** Unset: rejects all. */
  readonly rejectWebhook?: RejectWebhook | undefined;
}

/** Submits jobs. What resolves with `ok` is durable; of anything else nothing is kept. */
export interface Submitter {
  /** Loads the images, then stores the job. */
  submit(input: EditInput, caller: Caller, request?: RequestScope): Promise<SubmitOutcome>;
  /** The same for many: all of them, or none. The first fault names its edit. */
  submitMany(
    edits: readonly EditInput[],
    idempotencyKey: string | null,
    caller: Caller,
    request?: RequestScope,
  ): Promise<BatchOutcome>;
  /** Submits a new job with exactly the same request. */
  resubmit(job: Job, caller: Caller, request?: RequestScope): Promise<SubmitOutcome>;
  /** Submits new jobs with exactly the same requests, at least one, as a batch. */
  resubmitMany(jobs: readonly Job[], caller: Caller, request?: RequestScope): Promise<BatchOutcome>;
}

/** Edits of a batch whose images are loaded at once: those of a few are in memory. The loader limits fetches further. */
const EDITS_AT_ONCE = 8;

const GONE = reject('EXPIRED', 'The images of this job are gone', null);

export function createSubmitter(options: SubmitterOptions): Submitter {
  const { artifacts, leftovers, workflows, maxQueue } = options;
  const rejectWebhook =
    options.rejectWebhook ??
    (() => ({ field: 'webhook', message: 'is not available here: webhooks are not set up' }) as const);
  const store = createJobStore(options);
  const mostJobs = Math.min(BATCH_LIMIT, maxQueue);

  async function submit(input: EditInput, caller: Caller, scope: RequestScope = {}): Promise<SubmitOutcome> {
    const checked = checkEdit(input, workflows, rejectWebhook, caller.policy);
    if (!checked.ok) return checked;
    const { idempotencyKey: key, priority } = input;
    const idempotency = key === null ? null : { key, fingerprint: fingerprint(input) };
    const earlier = idempotency === null ? null : await store.repeated(caller, idempotency);
    if (earlier !== null) return earlier;
    const id = randomUUID();
    const keeper = createKeeper(artifacts, leftovers);
    const plans = [{ input, jobs: 1 }];
    const intake = createIntake({ ...options, keeper, caller, signal: scope.signal, batch: null, plans });
    const taken = await orDiscard(keeper.discard, intake.take(input, id), result => result.ok);
    if (!taken.ok) return taken;
    const draft = { id, priority, request: requestOf(checked.settings, taken) };
    return store.job(draft, { caller, keeper, idempotency, scope });
  }

  /** What of edits can be checked before their images are loaded. */
  function check(
    edits: readonly EditInput[],
    total: number,
    caller: Caller,
  ): { ok: true; settings: readonly Settings[] } | Rejected {
    if (total < 1 || total > mostJobs) {
      const message = `takes 1 to ${mostJobs} edits, each variation counted, got ${total}`;
      return reject('INVALID_INPUT', message, 'edits');
    }
    const settings: Settings[] = [];
    for (const [index, input] of edits.entries()) {
      const checked = checkEdit(input, workflows, rejectWebhook, caller.policy);
      if (!checked.ok) return ofEdit(index, checked);
      settings.push(checked.settings);
    }
    return { ok: true, settings };
  }

  async function submitMany(
    edits: readonly EditInput[],
    key: string | null,
    caller: Caller,
    scope: RequestScope = {},
  ): Promise<BatchOutcome> {
    const total = edits.reduce((sum, { variations = 1 }) => sum + variations, 0);
    const checked = check(edits, total, caller);
    if (!checked.ok) return checked;
    const idempotency = key === null ? null : { key, fingerprint: fingerprintOf(edits) };
    const earlier = idempotency === null ? null : await store.repeatedBatch(caller, idempotency);
    if (earlier !== null) return earlier;
    // Spares loading a thousand images in vain.
    const full = await store.withoutRoom(total);
    if (full !== null) return full;

    const batch = randomUUID();
    const keeper = createKeeper(artifacts, leftovers);
    const ids = risingIds(total);
    let next = 0;
    const plans = edits.map((input, index) => {
      const jobs = input.variations ?? 1;
      next += jobs;
      return { input, index, jobs, ids: ids.slice(next - jobs, next) };
    });
    const intake = createIntake({ ...options, keeper, caller, signal: scope.signal, batch, plans });
    const loading = mapAtMost(
      EDITS_AT_ONCE,
      plans,
      async ({ input, ids: [id = ''], index }) => {
        const taken = await intake.take(input, id);
        return taken.ok ? taken : ofEdit(index, taken);
      },
      ({ ok }) => ok,
    );
    const loaded = await orDiscard(keeper.discard, loading, results => results.every(result => result?.ok));
    const drafts: (Draft & { readonly edit: number })[] = [];
    for (const [edit, { input, jobs, ids: own }] of plans.entries()) {
      const [taken, settings] = [loaded[edit], checked.settings[edit]];
      if (taken === undefined || settings === undefined) continue;
      if (!taken.ok) return taken;
      // One seed is the one that was filled in.
      const seeds = jobs === 1 ? [settings.seed] : seedsOf(input.seed, jobs);
      for (const [n, id] of own.entries()) {
        const request = requestOf({ ...settings, seed: seeds[n] ?? settings.seed }, taken);
        drafts.push({ id, priority: input.priority, request, edit });
      }
    }
    const submission = { caller, keeper, idempotency, scope };
    return store.batch(batch, drafts, submission, index => drafts[index]?.edit ?? 0);
  }

  async function resubmit(job: Job, caller: Caller, scope: RequestScope = {}): Promise<SubmitOutcome> {
    const id = randomUUID();
    const keeper = createKeeper(artifacts, leftovers);
    const copies = createCopies({ ...options, keeper, caller, batch: null, jobs: [job] });
    const taken = await orDiscard(keeper.discard, copies.take(job, id), result => result !== null);
    if (taken === null) return GONE;
    const draft = { id, priority: job.priority, request: requestOf(job.request, taken) };
    return store.job(draft, { caller, keeper, idempotency: null, scope });
  }

  async function resubmitMany(
    jobs: readonly Job[],
    caller: Caller,
    scope: RequestScope = {},
  ): Promise<BatchOutcome> {
    const full = await store.withoutRoom(jobs.length);
    if (full !== null) return full;
    const batch = randomUUID();
    const keeper = createKeeper(artifacts, leftovers);
    const copies = createCopies({ ...options, keeper, caller, batch, jobs });
    const ids = risingIds(jobs.length);
    const copying = mapAtMost(
      EDITS_AT_ONCE,
      jobs,
      async (job, index): Promise<Draft | null> => {
        const id = ids[index] ?? randomUUID();
        const taken = await copies.take(job, id);
        if (taken === null) return null;
        return { id, priority: job.priority, request: requestOf(job.request, taken) };
      },
      draft => draft !== null,
    );
    const copied = await orDiscard(keeper.discard, copying, all => all.every(draft => draft != null));
    const drafts = copied.flatMap(draft => (draft == null ? [] : [draft]));
    if (drafts.length < jobs.length) return GONE;
    return store.batch(batch, drafts, { caller, keeper, idempotency: null, scope }, null);
  }

  return { submit, submitMany, resubmit, resubmitMany };
}

/** Random ids in rising order: jobs of a batch have one time of submit, so that lists and cursors keep the order of the edits. */
function risingIds(count: number): readonly string[] {
  return Array.from({ length: count }, () => randomUUID()).toSorted();
}

/** A request with these images. */
function requestOf(settings: Settings, { images, mask }: KeptImages): EditRequest {
  return { ...settings, images, ...(mask === null ? {} : { mask }) };
}

/** Waits for work, and discards what was stored meanwhile unless it succeeds. */
async function orDiscard<T>(
  discard: () => Promise<void>,
  work: Promise<T>,
  succeeds: (result: T) => boolean,
): Promise<T> {
  let kept = false;
  try {
    const result = await work;
    kept = succeeds(result);
    return result;
  } finally {
    if (!kept) await discard();
  }
}
