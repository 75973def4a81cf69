import type { CallToolResult } from '@modelcontextprotocol/server';
import type { z } from 'zod';
import type { jobResult, workflowsResult } from './arguments.ts';
import type { Edits, ImageView, JobView, WorkflowView } from './edits.ts';

/** Bytes of an image in a result at most: some assistants reject results of 1 MB, and base64 makes them a third larger. */
const IMAGE_BYTES = 700_000;
/** How much smaller an image is made that has more bytes. */
const SHRINK = 0.7;

type Content = CallToolResult['content'];

/** An error that the assistant can act on. */
export function failure(message: string): CallToolResult {
  return { content: [{ type: 'text', text: message }], isError: true };
}

/** The result for a job that does not exist, or belongs to another caller. */
export const JOB_NOT_FOUND = failure(
  'JOB_NOT_FOUND: The job is unknown, expired, deleted, or another caller’s',
);

/** The result for a job as it is now: with its first image of at most `side` pixels when it has completed. */
export async function jobAsResult(edits: Edits, job: JobView, side: number): Promise<CallToolResult> {
  switch (job.status) {
    case 'QUEUED':
    case 'PROCESSING':
      return { content: [{ type: 'text', text: progressText(job) }], structuredContent: fieldsOf(job) };
    case 'COMPLETED': {
      const [image] = job.images;
      if (image === undefined) return failure(`OUTPUT_MISSING: The job ${job.id} has no output image`);
      const content = await imageContent(edits, job.id, 0, image, side);
      const text = `The job ${job.id} has completed: ${image.width} × ${image.height} pixels.`;
      return { content: [{ type: 'text', text }, ...content], structuredContent: fieldsOf(job) };
    }
    case 'ERROR': {
      const { code, message, retryable } = job.error ?? {
        code: 'INTERNAL',
        message: 'The job failed',
        retryable: true,
      };
      const again = retryable ? ' The same edit may succeed later.' : '';
      return failure(`${code}: ${message} (job ${job.id}).${again}`);
    }
    case 'CANCELED':
      return failure(`CANCELED: The job ${job.id} was canceled`);
    default:
      return job.status satisfies never;
  }
}

/** An output image as content, and a link to the whole one. */
export async function imageContent(
  edits: Edits,
  id: string,
  index: number,
  { url, mimeType, width, height }: ImageView,
  side: number,
): Promise<Content> {
  const link = { type: 'resource_link', uri: url, name: `${id}-${index}`, mimeType } as const;
  let bytes: Uint8Array | null = null;
  for (let most = Math.min(side, Math.max(width, height)); ; most *= SHRINK) {
    bytes = await edits.jpeg(id, index, Math.max(16, Math.round((width * most) / Math.max(width, height))));
    if (bytes === null) return [{ type: 'text', text: 'The file of the image is gone.' }];
    if (bytes.byteLength <= IMAGE_BYTES || most < 64) break;
  }
  return [
    { type: 'image', mimeType: 'image/jpeg', data: Buffer.from(bytes).toString('base64') },
    { ...link, description: `The whole image, ${width} × ${height} pixels` },
  ];
}

/** How far a job is, in a sentence for people. */
export function messageOf({ status, stage, step, totalSteps, queuePosition, waitingFor }: JobView): string {
  if (status === 'QUEUED') {
    if (waitingFor !== null) return waitingFor;
    return queuePosition === null || queuePosition === 0 ? 'queued' : `queued behind ${queuePosition} jobs`;
  }
  const steps = step === null || totalSteps === null ? '' : `, step ${step} of ${totalSteps}`;
  return `${stage?.toLowerCase().replaceAll('_', ' ') ?? status.toLowerCase()}${steps}`;
}

function progressText(job: JobView): string {
  const eta = job.etaSeconds === null ? '' : `, about ${Math.ceil(job.etaSeconds)} s left`;
  return `The job ${job.id} has not ended: ${Math.round(job.progress)} %, ${messageOf(job)}${eta}. Call watch_edit with this job_id.`;
}

function fieldsOf(job: JobView): z.input<typeof jobResult> {
  const { stage, step, totalSteps, queuePosition, waitingFor, etaSeconds, images } = job;
  return {
    job_id: job.id,
    status: lower(job.status),
    progress: job.progress,
    ...(stage === null ? {} : { stage: stage.toLowerCase() }),
    ...(step === null ? {} : { step }),
    ...(totalSteps === null ? {} : { total_steps: totalSteps }),
    ...(queuePosition === null ? {} : { queue_position: queuePosition }),
    ...(waitingFor === null ? {} : { waiting_for: waitingFor }),
    ...(etaSeconds === null ? {} : { eta_seconds: etaSeconds }),
    ...(images.length === 0 ? {} : { images: images.map(imageFields) }),
  };
}

/** An output image in the terms of the results. */
export function imageFields({ url, mimeType, width, height }: ImageView) {
  return { url, mime_type: mimeType, width, height };
}

/** The workflows, as text and as fields. */
export function workflowsAsResult(workflows: readonly WorkflowView[]): CallToolResult {
  const structuredContent: z.input<typeof workflowsResult> = {
    workflows: workflows.map(({ description, takesMask, parameters, ...rest }) => ({
      ...rest,
      ...(description === null ? {} : { description }),
      takes_mask: takesMask,
      parameters: parameters.map(({ minimum, maximum, options, ...parameter }) => ({
        ...parameter,
        ...(minimum === null ? {} : { minimum }),
        ...(maximum === null ? {} : { maximum }),
        ...(options === null ? {} : { options: [...options] }),
      })),
    })),
  };
  return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent };
}

function lower<Name extends string>(name: Name): Lowercase<Name>;
function lower(name: string): string {
  return name.toLowerCase();
}
