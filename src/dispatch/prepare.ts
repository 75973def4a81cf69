import { withDeadline } from '../concurrency/deadline.ts';
import { type JobError, jobError } from '../jobs/errors.ts';
import type { InputImage, Job } from '../jobs/job.ts';
import { type BoundPrompt, bindWorkflow, WorkflowBindError } from '../workflows/bind/bind.ts';
import type { DispatchContext } from './context.ts';
import type { Engine } from './engine.ts';

/** Where our uploads live in the engine's input folder. */
const SUBFOLDER = 'qwen-edit';

export type Prepared = { ok: true; prompt: BoundPrompt } | { ok: false; error: JobError };

/** The name of an upload: the same image has the same name, so it is sent once. */
export function uploadName(image: InputImage): string {
  return `${image.sha256}.${image.key.slice(image.key.lastIndexOf('.') + 1)}`;
}

/** Binds the job's request to its workflow, with the names under which the engine has the images. */
export function bindJob(context: DispatchContext, job: Job, names: ReadonlyMap<number, string>): Prepared {
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
  const images = request.images.map(({ slot, width, height, ...image }) => ({
    slot,
    width,
    height,
    name: names.get(slot) ?? `${SUBFOLDER}/${uploadName({ slot, width, height, ...image })}`,
  }));
  try {
    return { ok: true, prompt: bindWorkflow(workflow, { ...request, jobId: job.id, images }) };
  } catch (error) {
    // The workflow changed after the submit and no longer accepts the request.
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
 * Uploads the job's images to the engine, each once. `stopped()` is checked before each of them. Throws
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
      return { ok: false, error: jobError('EXPIRED', `Input image ${image.slot} no longer exists`) };
    }
    const bytes = Buffer.concat(await content.toArray());
    const sending = engine.client.upload({
      name: uploadName(image),
      subfolder: SUBFOLDER,
      bytes,
      mimeType: image.mimeType,
    });
    const name = await withDeadline(sending, deadline - context.now(), () => null);
    if (name === null) {
      const seconds = Math.round(context.limits.uploadMs / 1000);
      return {
        ok: false,
        error: jobError('TIMED_OUT', `Uploading the images to the engine took longer than ${seconds} s`),
      };
    }
    engine.rememberUpload(image.sha256, name);
    names.set(image.slot, name);
  }
  return { ok: true, names };
}
