import { type JobError, jobError } from '../jobs/errors.ts';
import type { InputImage, Job } from '../jobs/job.ts';
import { type BoundPrompt, bindWorkflow, WorkflowBindError } from '../workflows/bind/bind.ts';
import type { DispatchContext } from './context.ts';
import type { Engine } from './engine.ts';

/** Where our uploads live in the engine's input folder. */
const SUBFOLDER = 'qwen-edit';

export type Prepared = { ok: true; prompt: BoundPrompt } | { ok: false; error: JobError };

/** The name that our uploads get: the same picture has the same name, so it is sent once. */
export function uploadName(image: InputImage): string {
  return `${image.sha256}.${image.key.slice(image.key.lastIndexOf('.') + 1)}`;
}

/** Binds the job's request to its workflow, with the names under which the engine has the pictures. */
export function bindJob(context: DispatchContext, job: Job, names: ReadonlyMap<number, string>): Prepared {
  const workflow = context.workflows.find(job.request.workflow, job.request.workflowVersion);
  if (workflow === null) {
    return {
      ok: false,
      error: jobError('WORKFLOW_INVALID', `There is no workflow ${job.request.workflow} any more`),
    };
  }
  const { request } = job;
  if (workflow.version !== request.workflowVersion) {
    const fields = {
      job: job.id,
      workflow: workflow.name,
      asked: request.workflowVersion,
      used: workflow.version,
    };
    context.log.warn(
      fields,
      'the version of the workflow that the job was submitted with is gone: another is used',
    );
  }
  const images = request.images.map(({ slot, width, height, ...image }) => ({
    slot,
    width,
    height,
    name: names.get(slot) ?? `${SUBFOLDER}/${uploadName({ slot, width, height, ...image })}`,
  }));
  try {
    return { ok: true, prompt: bindWorkflow(workflow, { ...request, jobId: job.id, images }) };
  } catch (error) {
    // The workflow changed since the submit, and its new form does not take the request.
    if (error instanceof WorkflowBindError)
      return { ok: false, error: jobError('WORKFLOW_INVALID', error.message) };
    throw error;
  }
}

export type UploadResult =
  | { ok: true; names: ReadonlyMap<number, string> }
  | { ok: false; error: JobError }
  | { ok: 'stopped' };

/**
 * Sends the job's pictures to the engine, each once. `stopped()` is asked between two of them. Throws
 * EngineUnreachable.
 */
export async function uploadInputs(
  context: DispatchContext,
  engine: Engine,
  job: Job,
  stopped: () => boolean,
): Promise<UploadResult> {
  const names = new Map<number, string>();
  const deadline = context.now() + context.limits.uploadMs;
  for (const image of job.request.images) {
    if (stopped()) return { ok: 'stopped' };
    const known = engine.uploadedAs(image.sha256);
    if (known !== null) {
      names.set(image.slot, known);
      continue;
    }
    const content = await context.artifacts.get(image.key);
    if (content === null) {
      return { ok: false, error: jobError('EXPIRED', `The picture of image ${image.slot} is gone`) };
    }
    const bytes = Buffer.concat(await content.toArray());
    const sending = engine.client.upload({
      name: uploadName(image),
      subfolder: SUBFOLDER,
      bytes,
      mimeType: image.mimeType,
    });
    const name = await before(sending, deadline - context.now());
    if (name === null) {
      const seconds = Math.round(context.limits.uploadMs / 1000);
      return {
        ok: false,
        error: jobError('TIMED_OUT', `Sending the pictures to the engine took longer than ${seconds} s`),
      };
    }
    engine.rememberUpload(image.sha256, name);
    names.set(image.slot, name);
  }
  return { ok: true, names };
}

/** The value, or null when it takes longer than `ms`; what comes later is let go. */
async function before<T>(work: Promise<T>, ms: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>(resolve => {
    timer = setTimeout(() => resolve(null), Math.max(0, ms));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    // A failure after the deadline has been answered already.
    work.catch(() => null);
  }
}
