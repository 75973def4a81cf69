import { randomUUID } from 'node:crypto';
import type { ImageLoader, ImageResult, LoadedImage } from '../images/fetch-image.ts';
import type { WorkflowCatalog } from '../workflows/files/catalog.ts';
import { type Caller, shareOf } from './caller.ts';
import type { ErrorCode } from './errors.ts';
import { createJob, type EditRequest, type InputImage, type Job } from './job.ts';
import type { Leftovers } from './leftovers.ts';
import type { Artifacts, Clock, Ledger } from './ports.ts';
import type { EditInput, ImageSource } from './request.ts';
import { fillIn, fingerprint } from './settings.ts';
import { StoreAway } from './store-away.ts';
import type { Uploads } from './uploads.ts';

/** Why a submit was refused; nothing of it is kept. */
export interface SubmitFailure {
  readonly code: ErrorCode;
  readonly message: string;
  /** The field of the request that is at fault, by the name its face gives it. */
  readonly field: string | null;
  readonly retryAfterSeconds: number | null;
}

export type SubmitOutcome = { ok: true; job: Job; repeated: boolean } | { ok: false; failure: SubmitFailure };

export interface SubmitsOptions {
  readonly ledger: Ledger;
  readonly artifacts: Artifacts;
  /** Where what is left of a submit that failed goes. */
  readonly leftovers: Leftovers;
  readonly images: ImageLoader;
  /** Pictures that were sent ahead; left out: there are none. */
  readonly uploads?: Uploads | undefined;
  readonly workflows: WorkflowCatalog;
  /** Why a webhook is not taken, going on from the field's name; null when it is. Left out: none is taken. */
  readonly refuseWebhook?: ((url: string) => string | null) | undefined;
  readonly now: Clock;
  readonly maxQueue: number;
  /** Seconds until a full queue has room again, as far as was measured. */
  readonly secondsToRoom: () => number;
  /** The job of this id when the caller may see it. */
  readonly find: (id: string, caller: Caller) => Promise<Job | null>;
}

/** Makes jobs. */
export interface Submits {
  /** Fetches the pictures, then stores the job: once it answers, the job is not lost. */
  submit(input: EditInput, caller: Caller, signal?: AbortSignal): Promise<SubmitOutcome>;
  /** A new job with the very same request. */
  again(job: Job, caller: Caller): Promise<SubmitOutcome>;
}

/** Wires it; holds nothing that would have to be stopped. */
export function createSubmits(options: SubmitsOptions): Submits {
  const { ledger, artifacts, leftovers, images, uploads, workflows, now, maxQueue, secondsToRoom, find } =
    options;
  const refuseWebhook = options.refuseWebhook ?? (() => 'is not taken here: webhooks are not set up');

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
    const stored = input.images.map(({ slot, source }, index) => {
      const picture = pictures[index];
      if (picture === undefined) throw new Error(`No picture for slot ${slot}`);
      return { input: inputImage(id, slot, source, picture), bytes: picture.bytes };
    });
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
        const image = await uploads?.use(source.id, caller, signal);
        if (image) return { ok: true, image };
        return notTaken('takes the id of an upload of yours; there is none of this id, or no longer');
      }
      case 'job': {
        const job = await find(source.id, caller);
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
      const result = await ledger.submit(job, { maxQueue, idempotency });
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
            retryAfterSeconds: secondsToRoom(),
          },
        };
      default:
        return result satisfies never;
    }
  }

  async function again(job: Job, caller: Caller): Promise<SubmitOutcome> {
    const id = randomUUID();
    const bytes = new Map<string, Uint8Array>();
    const inputs: InputImage[] = [];
    for (const image of job.request.images) {
      const read = async (): Promise<Uint8Array | null> => {
        const content = await artifacts.get(image.key);
        return content === null ? null : Buffer.concat(await content.toArray());
      };
      const picture = await images.inTurn(read, { share: shareOf(caller) });
      if (picture === null) return refuse('EXPIRED', 'The pictures of this job are gone', null);
      const key = inputKey(id, image.slot, image.key.slice(image.key.lastIndexOf('.') + 1));
      bytes.set(key, picture);
      inputs.push({ ...image, key });
    }
    return store(id, { ...job.request, images: inputs }, bytes, job, caller, null);
  }

  return { submit, again };
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
