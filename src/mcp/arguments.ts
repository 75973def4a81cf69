import { z } from 'zod';
import { editFields, RANGES, takes } from '../jobs/request.ts';

/** How long a call waits for a job by default, in seconds: clients give up after a minute. */
const WAIT_SECONDS = 50;
/** How long it waits at most. */
const WAIT_MAX_SECONDS = 600;

/** The longer side of an image in a result, in pixels: by default and at most. */
export const SIDE = { minimum: 64, default: 1024, maximum: 2048 } as const;

/** What the description of `edit_image` says of a call that is canceled. */
export const LEAVING =
  'Cancelling this call, or closing its connection, cancels the job unless keep_running is true.';

function numberOf([minimum, maximum]: readonly [number, number], whole: boolean) {
  const rule = takes(`${whole ? 'an integer' : 'a number'} from ${minimum} to ${maximum}`);
  return (whole ? z.int(rule) : z.number(rule)).min(minimum, rule).max(maximum, rule);
}

const seedRule = takes('an integer from 0 to 18446744073709551615, or its digits as a text');
const seed = z.union([z.int(seedRule), z.string(seedRule)], seedRule).transform((value, context) => {
  const parsed = editFields.seed.safeParse(value);
  if (parsed.success) return parsed.data;
  context.addIssue({ code: 'custom', message: seedRule.error({ input: value }) });
  return z.NEVER;
});

const waitSeconds = numberOf([0, WAIT_MAX_SECONDS], false)
  .default(WAIT_SECONDS)
  .describe(
    `How long to wait for the end of the job, 0 to ${WAIT_MAX_SECONDS} seconds. If it has not ended then, the result has its progress, and watch_edit goes on.`,
  );

const jobId = z.string(takes('the id of a job')).regex(/^[\w-]{1,64}$/, takes('the id of a job'));

/** The arguments of `edit_image`; `imageForms` says what an image takes. */
export function editArguments(imageForms: string) {
  const image = z.string(takes(imageForms)).trim().min(1, takes(imageForms));
  const rule = takes('a list of 1 to 3 images');
  return z.strictObject({
    images: z
      .array(image, rule)
      .min(1, rule)
      .max(3, rule)
      .describe(`1 to 3 images, "image 1" to "image 3" in the prompt. Each is ${imageForms}.`),
    prompt: editFields.prompt.describe(
      'What to change, in plain words. Name images by their number: "the person in image 1".',
    ),
    negative_prompt: editFields.negativePrompt.optional().describe('What to avoid.'),
    mask: image
      .optional()
      .describe(
        'Where image 1 changes, given like the images: white, or transparent if any of it is transparent. Only for workflows that take a mask.',
      ),
    seed: seed.optional().describe('The same seed and input give the same image. Default: random.'),
    steps: numberOf(RANGES.steps, true).optional().describe('Sampling steps. Default: that of the workflow.'),
    cfg: numberOf(RANGES.cfg, false)
      .optional()
      .describe('How closely to follow the prompt. Default: that of the workflow.'),
    megapixels: numberOf(RANGES.megapixels, false)
      .optional()
      .describe('Size of the result, in units of 1024 × 1024 pixels, with the shape of image 1.'),
    workflow: editFields.workflow
      .optional()
      .describe('A name from list_workflows. Default: the first one that can run.'),
    parameters: editFields.parameters
      .optional()
      .describe('Further parameters of the workflow, by the names that list_workflows has.'),
    wait_seconds: waitSeconds,
    keep_running: z
      .boolean(takes('true or false'))
      .default(false)
      .describe('Whether the job goes on when this call is canceled.'),
  });
}

export type EditArguments = z.output<ReturnType<typeof editArguments>>;

export const watchArguments = z.strictObject({
  job_id: jobId.describe('The job_id of edit_image.'),
  wait_seconds: waitSeconds,
});

export const jobArguments = z.strictObject({ job_id: jobId.describe('The job_id of edit_image.') });

export const imageArguments = z.strictObject({
  job_id: jobId.describe('The job_id of edit_image.'),
  index: numberOf([0, 999], true)
    .default(0)
    .describe('Which image of a job that made several; 0 is the first.'),
  max_side: numberOf([SIDE.minimum, SIDE.maximum], true)
    .default(SIDE.default)
    .describe('The longer side in pixels. A larger image is scaled down.'),
});

/** What the result of a call has of a job, besides its text and its image. */
export const jobResult = z.object({
  job_id: z.string(),
  status: z.enum(['queued', 'processing', 'completed', 'error', 'canceled']),
  progress: z.number().describe('Percent, 0 to 100.'),
  stage: z.string().optional(),
  step: z.number().optional(),
  total_steps: z.number().optional(),
  queue_position: z.number().optional().describe('Jobs that run before this one.'),
  waiting_for: z.string().optional().describe('Why it waits.'),
  eta_seconds: z.number().optional(),
  images: z
    .array(z.object({ url: z.string(), mime_type: z.string(), width: z.number(), height: z.number() }))
    .optional()
    .describe('Where the whole output images are, once the job has completed.'),
});

export const imageResult = z.object({
  url: z.string().describe('Where the whole image is.'),
  mime_type: z.string(),
  width: z.number().describe('Of the whole image, in pixels.'),
  height: z.number(),
});

export const workflowsResult = z.object({
  workflows: z.array(
    z.object({
      name: z.string(),
      title: z.string(),
      description: z.string().optional(),
      runnable: z.boolean().describe('Whether an engine can run it now.'),
      takes_mask: z.boolean().describe('Whether edits need a mask. Others cannot have one.'),
      parameters: z.array(
        z.object({
          name: z.string(),
          type: z.string(),
          default: z.unknown(),
          minimum: z.number().optional(),
          maximum: z.number().optional(),
          options: z.array(z.unknown()).optional(),
          description: z.string(),
        }),
      ),
    }),
  ),
});
