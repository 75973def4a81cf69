import { z } from 'zod';
import { DEFAULT_WEBHOOK_EVENTS, type Job } from '../../jobs/job.ts';
import { labelFields } from '../../jobs/labels.ts';
import { type EditInput, editFields, firstIssue, type ImageSource } from '../../jobs/request.ts';
import type { SubmitOutcome } from '../../jobs/submit.ts';
import { show } from '../../workflows/messages.ts';
import type { Builder } from '../builder.ts';
import { FAILS_ALONE } from '../nullability.ts';
import {
  type ErrorTypes,
  jobNotFound,
  type Problem,
  type ProblemOf,
  problemOf,
  type SubmitProblem,
} from './errors.ts';
import type { JobTypes } from './job.ts';

type EditResult = Job | SubmitProblem;

/** GraphQL has checked that exactly one is set, and the types of all but `url`, whose scalar takes any value. */
const imageSource = z
  .object({
    url: z.unknown().optional(),
    dataUri: z.string().nullish(),
    uploadId: z.string().nullish(),
    jobId: z.string().nullish(),
  })
  .transform(({ url, dataUri, uploadId, jobId }, context): ImageSource => {
    if (typeof uploadId === 'string') return { kind: 'upload', id: uploadId };
    if (typeof jobId === 'string') return { kind: 'job', id: jobId };
    if (typeof dataUri === 'string') return { kind: 'dataUri', dataUri };
    if (typeof url === 'string') return { kind: 'url', url };
    context.addIssue({ code: 'custom', message: `takes an http(s) URL, got ${show(url)}` });
    return z.NEVER;
  });

const MASK =
  'Where image 1 changes: white, or transparent if any of it is transparent. Every other pixel of the PNG result is that of image 1 as scaled for the edit. Of the size of image 1, or the same shape; soft edges are blended. Accepted by workflows with `takesMask`.';
const LABEL = 'A line of the caller’s own to find the job by, of 1 to 200 characters.';
const METADATA = 'Up to 16 texts of the caller’s own, each under another key.';

const inputSchema = z.object({
  images: z
    .array(imageSource)
    .min(1, 'takes 1 to 3 images, got none')
    .max(3, {
      error: issue => `takes 1 to 3 images, got ${Array.isArray(issue.input) ? issue.input.length : 'more'}`,
    }),
  mask: imageSource.nullish(),
  prompt: editFields.prompt,
  negativePrompt: editFields.negativePrompt.nullish(),
  seed: editFields.seed.nullish(),
  steps: editFields.steps.nullish(),
  cfg: editFields.cfg.nullish(),
  megapixels: editFields.megapixels.nullish(),
  workflow: editFields.workflow.nullish(),
  priority: editFields.priority.nullish(),
  parameters: editFields.parameters.nullish(),
  webhook: editFields.webhook.nullish(),
  label: labelFields.label.nullish(),
  metadata: labelFields.entries.nullish(),
  idempotencyKey: editFields.idempotencyKey.nullish(),
});

/** Adds `editImage`, `cancelJob`, `deleteJob` and `retryJob`. */
export function addEdits(builder: Builder, jobTypes: JobTypes, errors: ErrorTypes): void {
  const { JobType, JobPriority, WebhookEvent, MetadataInput } = jobTypes;

  const ImageSourceInput = builder.inputType('EditImageSource', {
    description: 'Where an image comes from: exactly one of these.',
    isOneOf: true,
    fields: t => ({
      url: t.field({ type: 'URL', description: 'JPEG, PNG or WebP at a public address.' }),
      dataUri: t.string({ description: '`data:image/png;base64,…`' }),
      uploadId: t.id({ description: 'An image that was uploaded by `POST /upload`.' }),
      jobId: t.id({ description: 'The result of an earlier job, to chain edits.' }),
    }),
  });

  const WebhookInput = builder.inputType('EditWebhookInput', {
    description: 'Where to post a job’s events, signed as Standard Webhooks.',
    fields: t => ({
      url: t.field({ type: 'URL', required: true }),
      events: t.field({
        type: [WebhookEvent],
        defaultValue: [...DEFAULT_WEBHOOK_EVENTS],
        description: 'At least one.',
      }),
    }),
  });

  const EditImageInput = builder.inputType('EditImageInput', {
    fields: t => ({
      images: t.field({
        type: [ImageSourceInput],
        required: true,
        description: '1 to 3 images, in the order of their numbers in the prompt ("image 1" …).',
      }),
      mask: t.field({
        type: ImageSourceInput,
        description: MASK,
      }),
      prompt: t.string({ required: true, description: 'What to change.' }),
      negativePrompt: t.string({ defaultValue: '', description: 'What to avoid. Has no effect at cfg 1.' }),
      seed: t.field({
        type: 'EditSeed',
        description: 'The same seed and input give the same image. Random by default.',
      }),
      steps: t.int({ description: '1 to 100. Default: that of the workflow, 40 for the standard one.' }),
      cfg: t.float({ description: '1.0 to 20.0. Default: that of the workflow, 4.0 for the standard one.' }),
      megapixels: t.float({
        description:
          'Size of the result in units of 1024 × 1024 pixels, in the aspect ratio of image 1. Default: 1.0. Unset for a workflow whose graph decides the size.',
      }),
      workflow: t.string({
        description: 'Default: the first that an engine can run; with a mask, the first that takes one.',
      }),
      parameters: t.field({
        type: 'JSON',
        description: 'Other parameters of the workflow, see `workflows`.',
      }),
      priority: t.field({ type: JobPriority, defaultValue: 'NORMAL' }),
      webhook: t.field({
        type: WebhookInput,
        description: 'Accepted only where the operator has set WEBHOOK_SECRET.',
      }),
      label: t.string({ description: `${LABEL} Has no effect on the image.` }),
      metadata: t.field({ type: [MetadataInput], description: METADATA }),
      idempotencyKey: t.string({
        description:
          'A repeated key with the same input returns the same job; with other input it is an error.',
      }),
    }),
  });

  const nameOf = (value: Job | Problem): string => ('kind' in value ? value.kind : 'EditJob');
  const EditImageResult = builder.unionType('EditImageResult', {
    types: [
      JobType,
      errors.InvalidInput,
      errors.ImageRejected,
      errors.QueueFull,
      errors.LimitReached,
      errors.NotAllowed,
    ],
    resolveType: nameOf,
  });
  const RetryJobResult = builder.unionType('EditRetryJobResult', {
    types: [
      JobType,
      errors.JobNotFound,
      errors.JobNotFinal,
      errors.ImageRejected,
      errors.InvalidInput,
      errors.QueueFull,
      errors.LimitReached,
      errors.NotAllowed,
    ],
    resolveType: nameOf,
  });
  const CancelJobResult = builder.unionType('EditCancelJobResult', {
    types: [JobType, errors.JobNotFound],
    resolveType: nameOf,
  });
  const DeletedJob = builder.objectRef<{ id: string }>('EditDeletedJob').implement({
    description: 'The job was deleted, with its images.',
    fields: t => ({ id: t.exposeID('id') }),
  });
  const DeleteJobResult = builder.unionType('EditDeleteJobResult', {
    types: [DeletedJob, errors.JobNotFound],
    resolveType: (value: { id: string } | Problem) => ('kind' in value ? value.kind : 'EditDeletedJob'),
  });

  builder.mutationFields(t => ({
    editImage: t.field({
      type: EditImageResult,
      ...FAILS_ALONE,
      description: 'Submits an edit. A returned job is stored and will run.',
      args: { input: t.arg({ type: EditImageInput, required: true }) },
      resolve: async (_root, { input }, { jobs, caller, signal, traceparent }) => {
        const parsed = inputSchema.safeParse(input);
        if (!parsed.success) {
          const { field, message } = firstIssue(parsed.error);
          return {
            kind: 'EditInvalidInput',
            code: 'INVALID_INPUT',
            message,
            field,
          } satisfies ProblemOf<'EditInvalidInput'>;
        }
        return answer(await jobs.submit(toEdit(parsed.data), caller, { signal, traceparent }));
      },
    }),
    cancelJob: t.field({
      type: CancelJobResult,
      ...FAILS_ALONE,
      description:
        'Cancels a job. Returns once the engine has stopped working on it; a job that has ended stays as it is.',
      args: { id: t.arg.id({ required: true }) },
      resolve: async (_root, { id }, { jobs, caller }) => {
        const outcome = await jobs.cancel(id, caller);
        return outcome.kind === 'not-found' ? jobNotFound(id) : outcome.job;
      },
    }),
    deleteJob: t.field({
      type: DeleteJobResult,
      ...FAILS_ALONE,
      description: 'Cancels the job if it runs, then deletes it with its images.',
      args: { id: t.arg.id({ required: true }) },
      resolve: async (_root, { id }, { jobs, caller }) =>
        (await jobs.remove(id, caller)) ? { id } : jobNotFound(id),
    }),
    retryJob: t.field({
      type: RetryJobResult,
      ...FAILS_ALONE,
      description: 'Submits a new job with the same request as one that has ended.',
      args: { id: t.arg.id({ required: true }) },
      resolve: async (_root, { id }, { jobs, caller, traceparent }) => {
        const outcome = await jobs.retry(id, caller, { traceparent });
        if (outcome.ok || outcome.failure !== null) return answer(outcome);
        const job = outcome.reason === 'not-final' ? await jobs.get(id, caller) : null;
        if (job === null) return jobNotFound(id);
        const message = 'The job has not ended yet';
        return {
          kind: 'EditJobNotFinal',
          code: 'JOB_NOT_FINAL',
          message,
          job,
        } satisfies ProblemOf<'EditJobNotFinal'>;
      },
    }),
  }));
}

function answer(outcome: SubmitOutcome): EditResult {
  return outcome.ok ? outcome.job : problemOf(outcome.failure);
}

function toEdit(input: z.output<typeof inputSchema>): EditInput {
  return {
    images: input.images.map((source, index) => ({
      slot: index === 0 ? 1 : index === 1 ? 2 : 3,
      source,
      field: `images.${index}`,
    })),
    ...(input.mask == null ? {} : { mask: input.mask }),
    prompt: input.prompt,
    negativePrompt: input.negativePrompt ?? '',
    seed: input.seed ?? null,
    steps: input.steps ?? null,
    cfg: input.cfg ?? null,
    megapixels: input.megapixels ?? null,
    workflow: input.workflow ?? null,
    priority: input.priority ?? 'NORMAL',
    parameters: input.parameters ?? {},
    webhook: input.webhook ?? null,
    label: input.label ?? null,
    metadata: input.metadata ?? {},
    idempotencyKey: input.idempotencyKey ?? null,
  };
}
