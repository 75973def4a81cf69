import { z } from 'zod';
import { type InlineImages, inlineImage, NO_IMAGES } from '../../images/inline.ts';
import { BATCH_LIMIT } from '../../jobs/batches/batch.ts';
import { DEFAULT_WEBHOOK_EVENTS } from '../../jobs/job.ts';
import { labelFields } from '../../jobs/labels.ts';
import { type EditInput, editFields, firstIssue, type ImageSource } from '../../jobs/request.ts';
import { show } from '../../workflows/messages.ts';
import type { Builder } from '../builder.ts';
import type { JobTypes } from './job.ts';

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
  variations: editFields.variations.nullish(),
});

/** Reads the input of an edit; the fault is that of its first invalid field. */
export function readEdit(
  input: unknown,
  images: InlineImages = NO_IMAGES,
): { ok: true; edit: EditInput } | { ok: false; field: string; message: string } {
  const parsed = inputSchema.safeParse(input);
  return parsed.success
    ? { ok: true, edit: withImages(toEdit(parsed.data), images) }
    : { ok: false, ...firstIssue(parsed.error) };
}

/** The edit with the images whose names its data URIs have. */
function withImages(edit: EditInput, images: InlineImages): EditInput {
  if (images.size === 0) return edit;
  const given = (source: ImageSource): ImageSource => {
    const image = source.kind === 'dataUri' ? inlineImage(source.dataUri.trim(), images) : null;
    return image === null ? source : { kind: 'inline', image };
  };
  return {
    ...edit,
    images: edit.images.map(image => ({ ...image, source: given(image.source) })),
    ...(edit.mask ? { mask: given(edit.mask) } : {}),
  };
}

/** Adds the input of an edit. Returns a reference to it. */
export function addEditInput(builder: Builder, { JobPriority, WebhookEvent, MetadataInput }: JobTypes) {
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
          'A repeated key with the same input returns the same job; with other input it is an error. Of `editImage` alone: `editImages` has a key for all edits.',
      }),
      variations: t.int({
        defaultValue: 1,
        description: `How many jobs of \`editImages\` this edit is, 1 to ${BATCH_LIMIT}: with \`seed\`, \`seed\` + 1 and so on, or with different random seeds. \`editImage\` answers one job and takes 1.`,
      }),
    }),
  });

  return EditImageInput;
}

export type EditImageInputType = ReturnType<typeof addEditInput>;

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
    ...(input.variations == null ? {} : { variations: input.variations }),
  };
}
