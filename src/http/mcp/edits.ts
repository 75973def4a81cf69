import { randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { z } from 'zod';
import { entryOf } from '../../graphql/types/workflows.ts';
import { type InlineImages, inlineImage } from '../../images/inline.ts';
import { isRetryable } from '../../jobs/errors.ts';
import { type Caller, isWaiting, type Job } from '../../jobs/job.ts';
import { type EditInput, withField } from '../../jobs/request.ts';
import type { RequestScope } from '../../jobs/trace.ts';
import type { EditArguments } from '../../mcp/arguments.ts';
import type { Edits, JobView } from '../../mcp/edits.ts';
import { STORE_UNAVAILABLE, storeRetryAfter } from '../../operations/store-unavailable.ts';
import { formOf } from '../../workflows/workflow.ts';
import { isImageUrl, sourceOf } from '../rest/contract/image-source.ts';
import { convert } from '../rest/download.ts';
import { restProgress } from '../rest/status-fields.ts';
import type { McpOptions } from './context.ts';

const IMAGE_FORMS = 'an http(s) URL or a data: URI of an image, upload:<id> or job:<job_id>';
/** JPEG without visible artifacts in text, at a third of PNG's size. */
const JPEG_QUALITY = 85;
/** Progress notifications a second at most. */
const PER_SECOND = 4;
const SLOTS = [1, 2, 3] as const;

/** The edits of one request: as its caller, over the jobs of this gateway. */
export function editsOf(
  { services, artifacts, log }: McpOptions,
  request: {
    readonly caller: Caller;
    readonly baseUrl: string;
    readonly traceparent: RequestScope['traceparent'];
    /** Those that were decoded while the request arrived. */
    readonly images: InlineImages;
  },
): Edits {
  const { caller, baseUrl, traceparent, images: decoded } = request;
  const { jobs, workflows, engines, imageUrls } = services;

  async function viewOf(job: Job): Promise<JobView> {
    const { id, status, stage, step, totalSteps, etaSeconds, error } = job;
    const wait = await services.waitingFor(job, caller);
    return {
      id,
      status,
      progress: restProgress(job),
      stage,
      step,
      totalSteps,
      queuePosition: isWaiting(job) ? ((await jobs.place(job))?.ahead ?? job.queuePosition) : null,
      waitingFor: wait?.message ?? null,
      etaSeconds,
      error: error === null ? null : { ...error, retryable: isRetryable(error.code) },
      images: job.outputs.map(({ mimeType, width, height }, index) => ({
        url: `${baseUrl}${imageUrls.output(id, index)}`,
        mimeType,
        width,
        height,
      })),
    };
  }

  return {
    imageForms: IMAGE_FORMS,
    async submit(edit, signal) {
      const input = inputOf(edit, decoded);
      if (!input.ok) return input;
      const outcome = await jobs.submit(input.value, caller, { signal, traceparent });
      if (outcome.ok) return { ok: true, job: await viewOf(outcome.job) };
      const { code, message, field } = outcome.failure;
      return {
        ok: false,
        message: `${code}: ${field === null ? message : withField(nameOf(field), message)}`,
      };
    },
    async find(id) {
      const job = await jobs.get(id, caller);
      return job === null ? null : viewOf(job);
    },
    async *watch(id, signal) {
      const stream = await jobs.watch(id, caller, { previews: false, maxPerSecond: PER_SECOND });
      if (stream === null) return;
      const leave = (): void => void stream.return();
      signal.addEventListener('abort', leave);
      if (signal.aborted) leave();
      try {
        for await (const job of stream) yield viewOf(job);
      } finally {
        signal.removeEventListener('abort', leave);
        await stream.return();
      }
    },
    async cancel(id) {
      const outcome = await jobs.cancel(id, caller);
      return outcome.kind === 'not-found' ? null : viewOf(outcome.job);
    },
    async jpeg(id, index, width) {
      const output = (await jobs.get(id, caller))?.outputs[index];
      const stored = output === undefined ? null : await artifacts.get(output.key);
      if (output === undefined || stored === null) return null;
      const narrower = width < output.width ? width : null;
      return buffer(convert(stored, { mimeType: 'image/jpeg', quality: JPEG_QUALITY, width: narrower }, log));
    },
    async workflows() {
      const ready = engines();
      return workflows.all().map(workflow => {
        const { name, runnable } = entryOf(workflow, ready);
        const { title, description, mask } = workflow.manifest;
        return {
          name,
          title,
          description,
          runnable,
          takesMask: mask !== undefined,
          parameters: formOf(workflow.manifest),
        };
      });
    },
    describeError(error) {
      if (storeRetryAfter(error) !== null) {
        log.error({ err: error }, 'the store is unavailable');
        return `INTERNAL: ${STORE_UNAVAILABLE}`;
      }
      const reference = randomUUID();
      log.error({ reference, err: error }, 'a tool call failed');
      return `INTERNAL: Internal error, reference ${reference}`;
    },
  };
}

/** The arguments of `edit_image` as far as they are images. */
const imageArguments = z.object({
  params: z.object({
    name: z.literal('edit_image'),
    arguments: z.object({ images: z.array(z.string()).max(SLOTS.length), mask: z.string().optional() }),
  }),
});

/** How many of these images are an image or the mask of a call of `edit_image`. */
export function imagesInCall(message: unknown, decoded: InlineImages): number {
  const call = imageArguments.safeParse(message);
  if (!call.success) return 0;
  const { images, mask = '' } = call.data.params.arguments;
  return [...images, mask].filter(text => inlineImage(text.trim(), decoded) !== null).length;
}

function inputOf(
  edit: EditArguments,
  decoded: InlineImages,
): { ok: true; value: EditInput } | { ok: false; message: string } {
  const { images, mask, prompt, negative_prompt = '' } = edit;
  const wrong = [...images, ...(mask === undefined ? [] : [mask])].findIndex(text => !isImageUrl(text));
  if (wrong >= 0) {
    const field = wrong < images.length ? `images[${wrong}]` : 'mask';
    const got = JSON.stringify((images[wrong] ?? mask ?? '').slice(0, 60));
    return { ok: false, message: `INVALID_INPUT: ${field} takes ${IMAGE_FORMS}, got ${got}` };
  }
  return {
    ok: true,
    value: {
      images: SLOTS.flatMap((slot, index) => {
        const text = images[index];
        return text === undefined
          ? []
          : [{ slot, field: `images[${index}]`, source: sourceOf(text, decoded) }];
      }),
      ...(mask === undefined ? {} : { mask: sourceOf(mask, decoded) }),
      prompt,
      negativePrompt: negative_prompt,
      seed: edit.seed ?? null,
      steps: edit.steps ?? null,
      cfg: edit.cfg ?? null,
      megapixels: edit.megapixels ?? null,
      workflow: edit.workflow ?? null,
      priority: 'NORMAL',
      parameters: edit.parameters ?? {},
      webhook: null,
      label: null,
      metadata: {},
      idempotencyKey: null,
    },
  };
}

/** The name that a field of the domain has here. */
function nameOf(field: string): string {
  return field === 'negativePrompt' ? 'negative_prompt' : field;
}
