import { randomUUID } from 'node:crypto';
import type { ImageLoader, ImageResult } from '../images/loader.ts';
import type { VerifiedImage } from '../images/verify.ts';
import type { WorkflowCatalog } from '../workflows/files/catalog.ts';
import type { Workflow } from '../workflows/workflow.ts';
import { type ErrorCode, StoreUnavailable } from './errors.ts';
import {
  type Caller,
  createJob,
  type EditRequest,
  type InputImage,
  type Job,
  type StoredImage,
  shareOf,
} from './job.ts';
import {
  forbidden,
  type LimitReached,
  limitFailure,
  priorityUnder,
  type SubmitLimits,
  submitLimits,
  workOf,
} from './limits.ts';
import {
  type Artifacts,
  type Clock,
  type Idempotency,
  type Ledger,
  readArtifact,
  type SubmitResult,
} from './ports.ts';
import { type EditInput, fillIn, fingerprint, type ImageSource } from './request.ts';
import { type JobTrace, parseTraceparent, type RequestScope, traceJob } from './trace.ts';
import type { Uploads } from './uploads.ts';

/** Why a submit was rejected; nothing of it is kept. */
export interface SubmitFailure {
  readonly code: ErrorCode;
  readonly message: string;
  /** The invalid field, by its name in REST or GraphQL. */
  readonly field: string | null;
  readonly retryAfterSeconds: number | null;
  /** The limit of the caller that is reached. */
  readonly limit?: LimitReached;
}

export type SubmitOutcome = { ok: true; job: Job; repeated: boolean } | { ok: false; failure: SubmitFailure };

/** Why a webhook is rejected: the field, and a message to follow its name. */
export interface WebhookFault {
  readonly field: 'webhook' | 'webhook.url';
  readonly message: string;
}

export interface SubmitterOptions {
  readonly ledger: Ledger;
  readonly artifacts: Artifacts;
  /** Removes the images of failed submits. */
  readonly leftovers: Leftovers;
  readonly images: ImageLoader;
  /** Unset: there are no uploads. */
  readonly uploads?: Uploads | undefined;
  readonly workflows: WorkflowCatalog;
  /** Why a webhook is rejected; null if it is accepted. Unset: rejects all. */
  readonly rejectWebhook?: ((url: string) => WebhookFault | null) | undefined;
  readonly now: Clock;
  readonly maxQueue: number;
  /** Estimated seconds until a full queue has room again. */
  readonly secondsToRoom: () => number;
  /** The job with this id if the caller may see it. */
  readonly find: (id: string, caller: Caller) => Promise<Job | null>;
  /** The trace that a new job belongs to. Unset: that of its request, if it has one. */
  readonly traceOf?: ((request: RequestScope) => JobTrace | null) | undefined;
}

/** Submits jobs. */
export interface Submitter {
  /** Loads the images, then stores the job. A job is durable once this resolves. */
  submit(input: EditInput, caller: Caller, request?: RequestScope): Promise<SubmitOutcome>;
  /** Submits a new job with exactly the same request. */
  resubmit(job: Job, caller: Caller, request?: RequestScope): Promise<SubmitOutcome>;
}

const NO_WEBHOOKS: WebhookFault = {
  field: 'webhook',
  message: 'is not available here: webhooks are not set up',
};

export function createSubmitter(options: SubmitterOptions): Submitter {
  const { ledger, artifacts, leftovers, images, uploads, workflows, now, maxQueue, secondsToRoom, find } =
    options;
  const rejectWebhook = options.rejectWebhook ?? (() => NO_WEBHOOKS);
  const traceOf = options.traceOf ?? traceOfCaller;

  async function submit(input: EditInput, caller: Caller, scope: RequestScope = {}): Promise<SubmitOutcome> {
    const { signal } = scope;
    const source = input.mask ?? null;
    const chosen = workflows.choose(input.workflow, source !== null);
    if (!chosen.ok) return reject('WORKFLOW_INVALID', chosen.message, 'workflow');
    const settings = fillIn(input, chosen.workflow);
    if (!settings.ok) return reject('INVALID_INPUT', settings.message, settings.field);
    const unsuited = maskFault(chosen.workflow, source !== null);
    if (unsuited !== null) return reject('INVALID_INPUT', unsuited, 'mask');
    const { name: workflow } = chosen.workflow;
    const denied = forbidden(caller.policy, { workflow, priority: input.priority });
    if (denied !== null) return { ok: false, failure: denied };
    const fault = input.webhook === null ? null : rejectWebhook(input.webhook.url);
    if (fault !== null) return reject('INVALID_INPUT', fault.message, fault.field);

    const idempotency =
      input.idempotencyKey === null ? null : { key: input.idempotencyKey, fingerprint: fingerprint(input) };
    if (idempotency !== null) {
      const earlier = await ledger.findRepeated(caller.id, idempotency);
      if (earlier !== null) return settle(earlier);
    }
    const loading = source === null ? null : loadImage(source, caller, signal);
    const [loaded, loadedMask] = await Promise.all([
      Promise.all(input.images.map(image => loadImage(image.source, caller, signal))),
      loading,
    ]);
    for (const [index, result] of loaded.entries()) {
      if (!result.ok) {
        return reject(result.failure.code, result.failure.message, input.images[index]?.field ?? null);
      }
    }
    if (loadedMask?.ok === false) {
      return reject(loadedMask.failure.code, loadedMask.failure.message, 'mask');
    }
    const verified = loaded.flatMap(result => (result.ok ? [result.image] : []));
    const id = randomUUID();
    const bytes = new Map<string, Uint8Array>();
    const keep = (slot: InputSlot, from: ImageSource, image: VerifiedImage): StoredImage => {
      const stored = storedImage(id, slot, from, image);
      bytes.set(stored.key, image.bytes);
      return stored;
    };
    const stored = input.images.map(({ slot, source: from }, index) => {
      const image = verified[index];
      if (image === undefined) throw new Error(`No image for slot ${slot}`);
      return { slot, ...keep(slot, from, image) };
    });
    let mask: StoredImage | null = null;
    const first = verified[input.images.findIndex(({ slot }) => slot === 1)];
    if (source !== null && loadedMask !== null && first !== undefined) {
      const made = await images.toMask(loadedMask.image, first, { share: shareOf(caller), signal });
      if (!made.ok) return reject('INVALID_INPUT', made.message, 'mask');
      mask = keep('mask', source, made.image);
    }
    return store(
      id,
      { ...settings.values, images: stored, ...(mask === null ? {} : { mask }) },
      bytes,
      input,
      caller,
      idempotency,
      scope,
    );
  }

  async function loadImage(
    source: ImageSource,
    caller: Caller,
    signal: AbortSignal | undefined,
  ): Promise<ImageResult> {
    const given = { share: shareOf(caller), signal };
    switch (source.kind) {
      case 'url':
        return images.fromUrl(source.url, given);
      case 'dataUri':
        return images.fromDataUri(source.dataUri, given);
      case 'upload':
      case 'form': {
        const id = source.kind === 'form' ? source.uploadId : source.id;
        const image = await uploads?.use(id, caller, signal);
        if (image) return { ok: true, image };
        return invalid('is not one of your uploads, or it has expired');
      }
      case 'job': {
        const job = await find(source.id, caller);
        const output = job?.outputs[0];
        const content = output === undefined ? null : await artifacts.get(output.key);
        if (content !== null) {
          return images.fromReader(async () => Buffer.concat(await content.toArray()), given);
        }
        return invalid('is not one of your jobs with an output image, or it has expired');
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
    idempotency: Idempotency | null,
    scope: RequestScope,
  ): Promise<SubmitOutcome> {
    const work = workOf(request);
    const denied = forbidden(caller.policy, { workflow: request.workflow, priority: input.priority, work });
    if (denied !== null) return { ok: false, failure: denied };
    const job = createJob({
      id,
      owner: caller.id,
      share: shareOf(caller),
      priority: priorityUnder(caller.policy, input.priority),
      request,
      createdAt: now(),
      trace: traceOf(scope),
    });
    // Waits for all of them, so that none is stored after the others were removed again.
    const puts = await Promise.allSettled([...bytes].map(([key, content]) => artifacts.put(key, content)));
    const failed = puts.find(put => put.status === 'rejected');
    if (failed !== undefined) {
      await leftovers.remove([...bytes.keys()]);
      throw failed.reason;
    }
    let kept = false;
    try {
      const limits = submitLimits(caller.policy);
      const result = await ledger.submit(job, { maxQueue, idempotency, limits });
      kept = result.kind === 'stored';
      return settle(result, { job, limits, work });
    } catch (error) {
      // The job may have been stored although the response was lost; then its images are needed.
      kept = error instanceof StoreUnavailable;
      throw error;
    } finally {
      if (!kept) await leftovers.remove([...bytes.keys()]);
    }
  }

  /** `submitted` is unset for the result of a lookup, which stores nothing and exceeds no limit. */
  function settle(
    result: SubmitResult,
    submitted?: { readonly job: Job; readonly limits: SubmitLimits | null; readonly work: number },
  ): SubmitOutcome {
    switch (result.kind) {
      case 'stored':
        if (submitted === undefined) throw new Error('A lookup cannot store a job');
        ledger.onChange?.(null, submitted.job, 'submitted');
        return { ok: true, job: submitted.job, repeated: false };
      case 'over-limit': {
        if (submitted?.limits == null) throw new Error('Only a submit with limits exceeds one');
        const { limits, work } = submitted;
        const time = { now: now(), secondsToRoom: secondsToRoom() };
        return { ok: false, failure: limitFailure(result.limit, limits, result.used, work, time) };
      }
      case 'repeated':
        return { ok: true, job: result.job, repeated: true };
      case 'idempotency-conflict':
        return reject('INVALID_INPUT', 'was used before with another input', 'idempotencyKey');
      case 'queue-full':
        return {
          ok: false,
          failure: {
            code: 'QUEUE_FULL',
            message: `The queue is full: ${result.waiting} jobs are waiting`,
            field: null,
            retryAfterSeconds: secondsToRoom(),
          },
        };
      default:
        return result satisfies never;
    }
  }

  async function resubmit(job: Job, caller: Caller, scope: RequestScope = {}): Promise<SubmitOutcome> {
    const id = randomUUID();
    const bytes = new Map<string, Uint8Array>();
    /** Copies an image for the new job; null when it is gone. */
    async function copy<I extends StoredImage>(slot: InputSlot, image: I): Promise<I | null> {
      const read = () => readArtifact(artifacts, image.key);
      const content = await images.inTurn(read, { share: shareOf(caller) });
      if (content === null) return null;
      const key = inputKey(id, slot, image.key.slice(image.key.lastIndexOf('.') + 1));
      bytes.set(key, content);
      return { ...image, key };
    }
    const gone = reject('EXPIRED', 'The images of this job are gone', null);
    const inputs: InputImage[] = [];
    for (const image of job.request.images) {
      const copied = await copy(image.slot, image);
      if (copied === null) return gone;
      inputs.push(copied);
    }
    const { mask } = job.request;
    if (mask === undefined)
      return store(id, { ...job.request, images: inputs }, bytes, job, caller, null, scope);
    const copied = await copy('mask', mask);
    if (copied === null) return gone;
    return store(id, { ...job.request, images: inputs, mask: copied }, bytes, job, caller, null, scope);
  }

  /** Why a workflow does not suit an edit with a mask, or one without. */
  function maskFault({ name, manifest }: Workflow, masked: boolean): string | null {
    if (masked === (manifest.mask !== undefined)) return null;
    if (!masked) return `is missing: the workflow ${name} takes a mask of what to change`;
    const names = workflows.all().flatMap(other => (other.manifest.mask === undefined ? [] : [other.name]));
    const others = names.length === 0 ? 'no workflow here takes one' : `it is one of ${names.join(', ')}`;
    return `is not an input of the workflow ${name}: ${others}`;
  }

  return { submit, resubmit };
}

function traceOfCaller({ traceparent }: RequestScope): JobTrace | null {
  const parent = parseTraceparent(traceparent);
  return parent === null ? null : traceJob(parent);
}

function reject(code: ErrorCode, message: string, field: string | null): SubmitOutcome & { ok: false } {
  return { ok: false, failure: { code, message, field, retryAfterSeconds: null } };
}

type InputSlot = InputImage['slot'] | 'mask';

/** All jobs share 256 folders: making one per job would take longer than writing a small image. */
function inputKey(jobId: string, slot: InputSlot, extension: string): string {
  return `inputs/${jobId.slice(0, 2)}/${jobId}-${slot}.${extension}`;
}

function storedImage(jobId: string, slot: InputSlot, source: ImageSource, image: VerifiedImage): StoredImage {
  return {
    key: inputKey(jobId, slot, image.extension),
    sha256: image.sha256,
    mimeType: image.mimeType,
    bytes: image.bytes.byteLength,
    width: image.width,
    height: image.height,
    source: describeSource(source),
  };
}

function describeSource(source: ImageSource): string {
  switch (source.kind) {
    case 'url':
      return source.url;
    case 'dataUri':
      return 'data:';
    case 'form':
      return 'form:';
    case 'upload':
    case 'job':
      return `${source.kind}:${source.id}`;
    default:
      return source satisfies never;
  }
}

function invalid(message: string): ImageResult {
  return { ok: false, failure: { code: 'INVALID_INPUT', message } };
}

/** Removes artifacts that no job needs; retries those for which the store was unavailable. */
export interface Leftovers {
  /** Removes these keys, and remembers those for which the store is unavailable. */
  remove(keys: readonly string[]): Promise<void>;
  /** Retries the remembered keys. */
  sweep(): Promise<void>;
}

/** Keys that are remembered. Further ones stay stored: artifacts without a record only take space. */
const REMEMBERED = 10_000;

export function createLeftovers(artifacts: Artifacts): Leftovers {
  const remembered = new Set<string>();

  async function removeOne(key: string): Promise<void> {
    try {
      await artifacts.remove(key);
      remembered.delete(key);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (remembered.size < REMEMBERED) remembered.add(key);
    }
  }

  return {
    async remove(keys) {
      await Promise.all(keys.map(removeOne));
    },
    async sweep() {
      for (const key of [...remembered]) await removeOne(key);
    },
  };
}
