import type { Rejection } from '../../comfyui/answers.ts';
import { EngineUnreachable } from '../../comfyui/unreachable.ts';
import { withDeadline } from '../../concurrency/deadline.ts';
import type { ImageFailure } from '../../images/errors.ts';
import { extensionOf } from '../../images/formats.ts';
import { type JobError, jobError } from '../../jobs/errors.ts';
import { readArtifact } from '../../jobs/image-stores.ts';
import { imagesOf, type Job, type StoredImage } from '../../jobs/job.ts';
import { sizeInWords } from '../../sizes.ts';
import { type BoundPrompt, bindWorkflow, WorkflowBindError } from '../../workflows/bind/bind.ts';
import type { Graph } from '../../workflows/graph.ts';
import type { DispatchContext } from '../context.ts';
import type { Engine } from '../engines/engine.ts';
import { persistently, type Run } from './settle.ts';

/** Where our uploads live in the engine's input folder. */
const SUBFOLDER = 'qwen-edit';
/** The status of an answer to a body that is too large (RFC 9110, 15.5.14). */
const TOO_LARGE = 413;

export type Prepared = { ok: true; prompt: BoundPrompt } | { ok: false; error: JobError };

/** The name of an upload, by its bytes: the same image has the same name on every engine. */
export function uploadName(image: StoredImage): string {
  return `${image.sha256}.${image.key.slice(image.key.lastIndexOf('.') + 1)}`;
}

/** Binds the job's request to its workflow, with the files that the engine has, and the names under which the engine has the images, by their keys. */
export function bindJob(
  context: DispatchContext,
  job: Job,
  engine: Pick<Engine, 'inventory'>,
  names: ReadonlyMap<string, string>,
): Prepared {
  const workflow = context.workflows.find(job.request.workflow, job.request.workflowVersion);
  if (workflow === null) {
    return {
      ok: false,
      error: jobError('WORKFLOW_INVALID', `The workflow ${job.request.workflow} no longer exists`),
    };
  }
  const { request } = job;
  if (workflow.version !== request.workflowVersion) {
    const fields = {
      job: job.id,
      workflow: workflow.name,
      requested: request.workflowVersion,
      used: workflow.version,
    };
    context.log.warn(fields, 'the workflow version of the job no longer exists: the present one is used');
  }
  const nameOf = (image: StoredImage) => names.get(image.key) ?? `${SUBFOLDER}/${uploadName(image)}`;
  const images = request.images.map(image => {
    const { slot, width, height } = image;
    return { slot, width, height, name: nameOf(image) };
  });
  const mask = request.mask === undefined ? null : nameOf(request.mask);
  try {
    const bound = bindWorkflow(
      workflow,
      { ...request, jobId: job.id, images, mask },
      engine.inventory() ?? undefined,
    );
    return { ok: true, prompt: bound };
  } catch (error) {
    // The workflow changed after the submit and no longer accepts the request.
    if (error instanceof WorkflowBindError)
      return { ok: false, error: jobError('WORKFLOW_INVALID', error.message) };
    throw error;
  }
}

/** The images of a job on an engine, by their keys: their names, and which were taken for known, without an upload. */
export interface Uploads {
  readonly names: ReadonlyMap<string, string>;
  readonly remembered: ReadonlySet<string>;
}

export type UploadResult = ({ ok: true } & Uploads) | { ok: false; error: JobError } | { ok: 'stopped' };

/**
 * Uploads the job's images to the engine, each only after it was decoded, and none that the engine is known to have. An upload
 * that is answered with an error is repeated, as `persistently` does; `limits.uploadMs` is for all uploads of the job together.
 * When the job is canceled or deleted, the lane is given up or the engine leaves, it stops before the next upload, and at once
 * while an image waits to be decoded. Throws EngineUnreachable.
 */
export async function uploadInputs(run: Run): Promise<UploadResult> {
  const { context, engine } = run;
  const { job } = run.held;
  const names = new Map<string, string>();
  const remembered = new Set<string>();
  let msLeft = context.limits.uploadMs;
  for (const image of imagesOf(job.request)) {
    if (run.wantsCancel() || run.leaving() || engine.leaving() !== null) return { ok: 'stopped' };
    const known = engine.uploadedAs(image.sha256);
    if (known !== null) {
      names.set(image.key, known);
      remembered.add(image.key);
      continue;
    }
    const bytes = await readArtifact(context.artifacts, image.key, image.bytes);
    if (bytes === null) {
      return { ok: false, error: jobError('EXPIRED', `The file of ${labelOf(job, image)} no longer exists`) };
    }
    const damage = await damageOf(run, image, bytes);
    if (damage === 'stopped') return { ok: 'stopped' };
    if (damage !== null) {
      const message = `Decoding ${labelOf(job, image)} failed: ${damage.message}`;
      return { ok: false, error: jobError(damage.code, message) };
    }
    const file = { name: uploadName(image), subfolder: SUBFOLDER, bytes, mimeType: image.mimeType };
    const began = context.now();
    const sending = persistently(run, () => engine.client.upload(file), mayAnswerOtherwise);
    let sent: Awaited<typeof sending> | null;
    try {
      sent = await withDeadline(sending, msLeft, () => null);
    } catch (error) {
      if (!(error instanceof EngineUnreachable) || error.status !== TOO_LARGE) throw error;
      const message = `The engine does not take ${labelOf(job, image)}: ${sizeInWords(bytes.length)} are too many`;
      return { ok: false, error: jobError('INPUT_TOO_LARGE', message) };
    }
    msLeft -= context.now() - began;
    if (sent?.kind === 'stopped') return { ok: 'stopped' };
    if (sent?.kind === 'late') throw sent.error;
    if (sent === null) {
      const seconds = Math.round(context.limits.uploadMs / 1000);
      return {
        ok: false,
        error: jobError('TIMED_OUT', `Uploading the images to the engine took longer than ${seconds} s`),
      };
    }
    engine.rememberUpload(image.sha256, sent.value);
    names.set(image.key, sent.value);
  }
  return { ok: true, names, remembered };
}

/**
 * The image that the engine lacks although it was uploaded, because it came back without its files, as a rejected graph shows;
 * null when the rejection has another reason. LoadImage says no more of a file that does not exist (`nodes.py`, VALIDATE_INPUTS).
 */
export function lackedImage(
  job: Job,
  { names, remembered }: Uploads,
  graph: Graph,
  { nodes }: Rejection,
): { label: string; remembered: boolean } | null {
  const values = nodes
    .filter(({ type }) => type === 'custom_validation_failed')
    .map(({ node, input }) => (input === null ? undefined : graph[node]?.inputs[input]));
  const lacked = imagesOf(job.request).filter(({ key }) => values.includes(names.get(key)));
  const [first] = lacked;
  if (first === undefined) return null;
  return { label: labelOf(job, first), remembered: lacked.some(({ key }) => remembered.has(key)) };
}

/** What is wrong with the pixels of an image: a submit checks it without decoding it. Null: nothing. */
async function damageOf(
  { context, engine, held, unwanted }: Run,
  { sha256, mimeType, width, height }: StoredImage,
  bytes: Buffer,
): Promise<ImageFailure | 'stopped' | null> {
  const image = { bytes, sha256, mimeType, extension: extensionOf(mimeType), width, height };
  const signal = AbortSignal.any([unwanted, engine.departure()]);
  try {
    return await context.images.decode(image, { share: held.job.share, signal });
  } catch (error) {
    if (signal.aborted) return 'stopped';
    throw error;
  }
}

function labelOf({ request }: Job, image: StoredImage): string {
  const slot = request.images.find(({ key }) => key === image.key)?.slot;
  return slot === undefined ? 'the mask' : `input image ${slot}`;
}

/** Whether the engine, or a proxy before it, answered with an error that may pass. */
function mayAnswerOtherwise(error: unknown): error is EngineUnreachable {
  return error instanceof EngineUnreachable && error.status !== null && error.status !== TOO_LARGE;
}
