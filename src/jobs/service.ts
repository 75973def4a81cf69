import { randomUUID } from 'node:crypto';
import type { ImageLoader, ImageResult, LoadedImage } from '../images/fetch-image.ts';
import type { WorkflowCatalog } from '../workflows/catalog.ts';
import { changeFrom } from './change.ts';
import type { ErrorCode } from './errors.ts';
import { createJob, type EditRequest, type InputImage, isFinal, type Job } from './job.ts';
import { createLeftovers } from './leftovers.ts';
import type { Artifacts, Clock, Feed, JobPage, JobQuery, Ledger, Previews } from './ports.ts';
import type { EditInput, ImageSource } from './request.ts';
import { fillIn, fingerprint } from './settings.ts';
import { StoreAway } from './store-away.ts';
import type { Uploads } from './uploads.ts';
import { type JobStream, watchJob } from './watch.ts';
import type { Delivery } from './webhook.ts';

/** Who asks. Without keys everybody is the operator and no job has an owner. */
export interface Caller {
  readonly id: string | null;
  readonly operator: boolean;
  /** Whose turn the caller takes when it has no name; left out: nobody's. */
  readonly share?: string | undefined;
}

/** Whose turn the caller takes where callers share what there is; null: callers are not told apart. */
export function shareOf(caller: Caller): string | null {
  return caller.share ?? caller.id;
}

/** Why a submit was refused; nothing of it is kept. */
export interface SubmitFailure {
  readonly code: ErrorCode;
  readonly message: string;
  /** The field of the request that is at fault, by the name its face gives it. */
  readonly field: string | null;
  readonly retryAfterSeconds: number | null;
}

export type SubmitOutcome = { ok: true; job: Job; repeated: boolean } | { ok: false; failure: SubmitFailure };

export type CancelOutcome =
  | { kind: 'canceled' | 'already-final' | 'pending'; job: Job }
  | { kind: 'not-found' };

export type RetryOutcome = SubmitOutcome | { ok: false; failure: null; reason: 'not-found' | 'not-final' };

export interface JobsOptions {
  readonly ledger: Ledger;
  readonly feed: Feed;
  readonly artifacts: Artifacts;
  readonly previews: Previews;
  readonly images: ImageLoader;
  /** Pictures that were sent ahead; left out: there are none. */
  readonly uploads?: Uploads | undefined;
  readonly workflows: WorkflowCatalog;
  /** Why a webhook is not taken, going on from the field's name; null when it is. Left out: none is taken. */
  readonly refuseWebhook?: ((url: string) => string | null) | undefined;
  readonly now: Clock;
  readonly maxQueue: number;
  /** Milliseconds after its end that a job and its bytes are kept. */
  readonly jobTtlMs: number;
  /** How long cancel and delete wait for the engine to let go, in milliseconds. */
  readonly cancelWaitMs: number;
  /** Seconds until a full queue has room again, as far as was measured. */
  readonly secondsToRoom: () => number;
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
  const { ledger, feed, artifacts, previews, images, workflows, now } = options;
  const leftovers = createLeftovers(artifacts);
  const refuseWebhook = options.refuseWebhook ?? (() => 'is not taken here: webhooks are not set up');

  async function visible(id: string, caller: Caller): Promise<Job | null> {
    const job = await ledger.get(id);
    return job !== null && maySee(job, caller) ? job : null;
  }

  async function submit(input: EditInput, caller: Caller, signal?: AbortSignal): Promise<SubmitOutcome> {
    const chosen = workflows.choose(input.workflow);
    if (!chosen.ok) return refuse('WORKFLOW_INVALID', chosen.message, 'workflow');
    const settings = fillIn(input, chosen.workflow);
    if (!settings.ok) return refuse('INVALID_INPUT', settings.message, settings.field);
    const refusal = input.webhook === null ? null : refuseWebhook(input.webhook.url);
    if (refusal !== null) return refuse('INVALID_INPUT', refusal, 'webhook');

    const idempotency =
      input.idempotencyKey === null ? null : { key: input.idempotencyKey, fingerprint: fingerprint(input) };
    if (idempotency !== null) {
      const earlier = await ledger.findRepeated(caller.id, idempotency);
      if (earlier !== null) return settle(earlier, null);
    }
    const loaded = await Promise.all(input.images.map(image => loadImage(image.source, caller, signal)));
    for (const [index, result] of loaded.entries()) {
      if (!result.ok)
        return refuse(result.failure.code, result.failure.message, input.images[index]?.field ?? null);
    }
    const pictures = loaded.flatMap(result => (result.ok ? [result.image] : []));
    const id = randomUUID();
    const stored = await Promise.all(
      input.images.map(async ({ slot, source }, index) => {
        const picture = pictures[index];
        if (picture === undefined) throw new Error(`No picture for slot ${slot}`);
        return { input: inputImage(id, slot, source, picture), bytes: picture.bytes };
      }),
    );
    return store(
      id,
      { ...settings.values, images: stored.map(({ input }) => input) },
      new Map(stored.map(({ input, bytes }) => [input.key, bytes])),
      input,
      caller,
      idempotency,
    );
  }

  async function loadImage(
    source: ImageSource,
    caller: Caller,
    signal: AbortSignal | undefined,
  ): Promise<ImageResult> {
    const asker = { share: shareOf(caller), signal };
    switch (source.kind) {
      case 'url':
        return images.fromUrl(source.url, asker);
      case 'dataUri':
        return images.fromDataUri(source.dataUri, asker);
      case 'upload': {
        const image = await options.uploads?.use(source.id, caller, signal);
        if (image) return { ok: true, image };
        return notTaken('takes the id of an upload of yours; there is none of this id, or no longer');
      }
      case 'job': {
        const job = await visible(source.id, caller);
        const output = job?.outputs[0];
        const content = output === undefined ? null : await artifacts.get(output.key);
        if (content !== null)
          return images.fromReader(async () => Buffer.concat(await content.toArray()), asker);
        return notTaken('takes the id of a job of yours that has its picture; there is none of this id');
      }
      default:
        return source satisfies never;
    }
  }

  async function store(
    id: string,
    request: EditRequest,
    bytes: ReadonlyMap<string, Uint8Array>,
    input: Pick<EditInput, 'priority'>,
    caller: Caller,
    idempotency: { key: string; fingerprint: string } | null,
  ): Promise<SubmitOutcome> {
    const job = createJob({
      id,
      owner: caller.id,
      share: shareOf(caller),
      priority: input.priority,
      request,
      createdAt: now(),
    });
    // All are waited for, so that none comes when the others are removed again already.
    const puts = await Promise.allSettled([...bytes].map(([key, content]) => artifacts.put(key, content)));
    const broken = puts.find(put => put.status === 'rejected');
    if (broken !== undefined) {
      await leftovers.remove([...bytes.keys()]);
      throw broken.reason;
    }
    let kept = false;
    try {
      const result = await ledger.submit(job, { maxQueue: options.maxQueue, idempotency });
      kept = result.kind === 'stored';
      return settle(result, job);
    } catch (error) {
      // The store may have the job although its answer was lost: then the pictures are needed.
      kept = error instanceof StoreAway;
      throw error;
    } finally {
      if (!kept) await leftovers.remove([...bytes.keys()]);
    }
  }

  function settle(result: Awaited<ReturnType<Ledger['submit']>>, job: Job | null): SubmitOutcome {
    switch (result.kind) {
      case 'stored':
        if (job === null) throw new Error('A look-up stores nothing');
        return { ok: true, job, repeated: false };
      case 'repeated':
        return { ok: true, job: result.job, repeated: true };
      case 'idempotency-conflict':
        return refuse('INVALID_INPUT', 'was used before with another input', 'idempotencyKey');
      case 'queue-full':
        return {
          ok: false,
          failure: {
            code: 'QUEUE_FULL',
            message: `The queue is full: ${result.waiting} jobs are waiting`,
            field: null,
            retryAfterSeconds: options.secondsToRoom(),
          },
        };
      default:
        return result satisfies never;
    }
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
    submit,
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
      const again = randomUUID();
      const bytes = new Map<string, Uint8Array>();
      const inputs: InputImage[] = [];
      for (const image of job.request.images) {
        const read = async (): Promise<Uint8Array | null> => {
          const content = await artifacts.get(image.key);
          return content === null ? null : Buffer.concat(await content.toArray());
        };
        const picture = await images.inTurn(read, { share: shareOf(caller) });
        if (picture === null) return refuse('EXPIRED', 'The pictures of this job are gone', null);
        const key = inputKey(again, image.slot, image.key.slice(image.key.lastIndexOf('.') + 1));
        bytes.set(key, picture);
        inputs.push({ ...image, key });
      }
      return store(again, { ...job.request, images: inputs }, bytes, job, caller, null);
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

function maySee(job: Job, caller: Caller): boolean {
  return caller.operator || job.owner === caller.id;
}

function refuse(code: ErrorCode, message: string, field: string | null): SubmitOutcome & { ok: false } {
  return { ok: false, failure: { code, message, field, retryAfterSeconds: null } };
}

/** Some hundred folders for all: to make one for each job takes longer than to write a small picture. */
function inputKey(jobId: string, slot: number, extension: string): string {
  return `inputs/${jobId.slice(0, 2)}/${jobId}-${slot}.${extension}`;
}

function inputImage(jobId: string, slot: 1 | 2 | 3, source: ImageSource, picture: LoadedImage): InputImage {
  return {
    slot,
    key: inputKey(jobId, slot, picture.extension),
    sha256: picture.sha256,
    mimeType: picture.mimeType,
    bytes: picture.bytes.byteLength,
    width: picture.width,
    height: picture.height,
    source: describeSource(source),
  };
}

function describeSource(source: ImageSource): string {
  switch (source.kind) {
    case 'url':
      return source.url;
    case 'dataUri':
      return 'data:';
    case 'upload':
    case 'job':
      return `${source.kind}:${source.id}`;
    default:
      return source satisfies never;
  }
}

function notTaken(message: string): ImageResult {
  return { ok: false, failure: { code: 'INVALID_INPUT', message } };
}
