import { z } from 'zod';
import 'zod-openapi';
import { errorCodes } from '../../jobs/errors.ts';
import { JOB_PRIORITIES } from '../../jobs/job.ts';
import { editFields } from '../../jobs/request.ts';
import { show } from '../../workflows/describe.ts';
import { STAGES } from '../../workflows/stages.ts';

/** The statuses of the REST contract; a canceled job is an error here. */
export const REST_STATUSES = ['queued', 'processing', 'completed', 'error'] as const;
export type RestStatus = (typeof REST_STATUSES)[number];

/** What `?format=` takes; `jpg` is another word for `jpeg`. */
const FORMATS = ['png', 'jpeg', 'jpg', 'webp'] as const;

function takes(what: string): { error: (issue: { input?: unknown }) => string } {
  return { error: issue => `takes ${what}, got ${show(issue.input)}` };
}

const imageRule = takes('an http(s) URL, or a data: URI, of a picture');
const imageUrl = z.string(imageRule).trim().refine(isPictureUrl, imageRule);
const optionalImage = z
  .string(imageRule)
  .trim()
  .refine(text => text === '' || isPictureUrl(text), imageRule)
  .nullish();

/** Reads no further than it must: a data URI can have megabytes. */
function isPictureUrl(text: string): boolean {
  return /^data:/i.test(text) || (/^https?:\/\//i.test(text) && URL.canParse(text));
}

/** A whole number in a query string. */
function queryInteger(minimum: number, maximum: number, description: string) {
  const rule = takes(`an integer from ${minimum} to ${maximum}`);
  return z
    .string(rule)
    .regex(/^\d{1,9}$/, rule)
    .transform(Number)
    .refine(value => value >= minimum && value <= maximum, {
      error: issue => `takes an integer from ${minimum} to ${maximum}, got ${String(issue.input)}`,
    })
    .optional()
    .meta({
      description,
      override: ({ jsonSchema }) => {
        delete jsonSchema.pattern;
        Object.assign(jsonSchema, { type: 'integer', minimum, maximum });
      },
    });
}

/** The body of POST `/edit-image`. Fields it does not name are ignored, but for those of the workflow. */
export const editBody = z
  .object({
    image1_url: imageUrl.meta({
      description: 'The picture to edit: an http(s) URL, or a `data:` URI. JPEG, PNG or WebP.',
      example: 'https://example.com/image1.jpg',
    }),
    image2_url: optionalImage.meta({
      description: 'A second picture, "image 2" for the prompt.',
    }),
    image3_url: optionalImage.meta({
      description: 'A third picture, "image 3" for the prompt, with or without a second one.',
    }),
    prompt: editFields.prompt.meta({
      description: 'What to change.',
      example: 'Change the background to a forest scene',
    }),
    negative_prompt: editFields.negativePrompt
      .nullish()
      .meta({ description: 'What to avoid. Without effect at cfg 1.' }),
    seed: editFields.seed.nullish().meta({
      description:
        'Same seed and input, same picture: 0 to 18446744073709551615 (2^64-1), as a number or a decimal string. ' +
        'Chosen when left out.',
      override: {
        anyOf: [
          { type: 'integer', minimum: 0 },
          { type: 'string', pattern: '^\\d{1,20}$' },
          { type: 'null' },
        ],
      },
      example: 12345,
    }),
    steps: editFields.steps.nullish().meta({
      description: 'Number of diffusion steps. Left out: the workflow’s own, 40 for the standard one.',
    }),
    cfg: editFields.cfg.nullish().meta({
      description: 'Classifier-free guidance. Left out: the workflow’s own, 4.0 for the standard one.',
    }),
    megapixels: editFields.megapixels.nullish().meta({
      description: 'Size of the result, of 1024 × 1024 pixels, in the shape of image 1. Left out: 1.0.',
    }),
    workflow: editFields.workflow.nullish().meta({
      description: 'Which workflow to run. Left out: the first that an engine can run.',
    }),
    priority: z
      .preprocess(
        value => (typeof value === 'string' ? value.toUpperCase() : value),
        z.enum(JOB_PRIORITIES, takes('low, normal, high')).nullish(),
      )
      .meta({
        description: 'Left out: normal.',
        override: { anyOf: [{ type: 'string', enum: ['low', 'normal', 'high'] }, { type: 'null' }] },
      }),
  })
  .meta({ id: 'EditRequest', additionalProperties: true });

/** The header that makes a repeated POST `/edit-image` the same job. */
export const editHeaders = z.object({
  'idempotency-key': editFields.idempotencyKey.optional().meta({
    description: 'Same key and body: the same job, however often it is sent. Same key, other body: 409.',
  }),
});

/** The path of everything about one job. */
export const jobPath = z.object({ job_id: z.string().meta({ description: 'As POST /edit-image gave it.' }) });

/** The query of GET `/download/{job_id}`. */
export const downloadQuery = z.object({
  format: z
    .enum(FORMATS, takes(FORMATS.join(', ')))
    .optional()
    .meta({
      description: 'Convert the picture. Left out: the bytes as the engine wrote them.',
    }),
  quality: queryInteger(1, 100, 'Of a conversion to jpeg or webp. Left out: 80.'),
  index: queryInteger(0, 999, 'Which picture of a job that made several; 0 is the first.'),
});

const progress = z.number().min(0).max(100).meta({ description: 'Percent, with at most one decimal.' });
const count = z.int().min(0);
const promptId = z.string().nullable().meta({ description: 'The id under which the engine knows the job.' });

/** The answer to everything that cannot be done. */
export const errorAnswer = z
  .object({ detail: z.string() })
  .meta({ id: 'Error', description: 'What is wrong, in one sentence.' });

/** GET `/`. */
export const healthAnswer = z
  .object({
    message: z.string(),
    status: z.literal('running'),
    version: z.string(),
    features: z.array(z.string()),
    engine: z.enum(['sandbox', 'comfyui']).meta({ description: 'The sandbox runs no model.' }),
  })
  .meta({ id: 'Health' });

/** POST `/edit-image`. */
export const editAnswer = z
  .object({ job_id: z.string(), status: z.enum(REST_STATUSES), message: z.string() })
  .meta({ id: 'EditAccepted' });

/** A job that has not ended. */
export const jobUnderWay = z
  .object({
    status: z.enum(['queued', 'processing']),
    progress,
    prompt_id: promptId,
    stage: z.enum(STAGES.map(stage => stage.toLowerCase())).optional(),
    step: count.optional().meta({ description: 'Sampler steps that are done.' }),
    total_steps: count.optional(),
    queue_position: count.optional().meta({ description: 'Jobs that run before this one.' }),
    eta_seconds: z.number().optional().meta({ description: 'From measured steps of jobs alike.' }),
  })
  .meta({ id: 'JobUnderWay' });

/** A job whose picture was made. */
export const jobCompleted = z
  .object({
    status: z.literal('completed'),
    progress,
    prompt_id: promptId,
    image_ready: z.boolean().meta({ description: 'False when the file is gone; `message` says so then.' }),
    download_url: z.string().optional(),
    image_path: z.string().optional(),
    message: z.string().optional(),
  })
  .meta({ id: 'JobCompleted' });

/** A job that failed or was canceled. */
export const jobFailed = z
  .object({
    status: z.literal('error'),
    progress,
    prompt_id: promptId,
    error: z.string(),
    error_code: z.enum(errorCodes),
  })
  .meta({ id: 'JobFailed' });

/** GET `/status/{job_id}`. */
export const statusAnswer = z.union([jobUnderWay, jobCompleted, jobFailed]).meta({ id: 'JobStatus' });

/** GET `/jobs`. */
export const jobsAnswer = z
  .object({ jobs: z.record(z.string(), z.object({ status: z.enum(REST_STATUSES), progress })) })
  .meta({ id: 'JobList' });

/** DELETE `/jobs/{job_id}`. */
export const deleteAnswer = z.object({ message: z.string() }).meta({ id: 'JobDeleted' });

/** GET `/debug/files`. */
export const filesAnswer = z
  .object({
    output_dir: z.string(),
    files: z.array(
      z.object({
        path: z.string(),
        name: z.string(),
        location: z.string().meta({ description: 'The folder below output_dir, or `root`.' }),
        bytes: count,
      }),
    ),
  })
  .meta({ id: 'OutputFiles' });

const time = z.iso.datetime();

/** What GET `/debug/job/{job_id}` adds to the status. */
export const debugFields = z
  .object({
    job_id: z.string(),
    searched_image_path: z.string().nullable(),
    image_exists: z.boolean(),
    potential_files: z.array(z.string()).meta({ description: 'Files of this job that are there.' }),
    request: z.object({
      images: z.array(
        z.object({
          slot: count,
          source: z.string(),
          mime_type: z.string(),
          width: count,
          height: count,
          bytes: count,
        }),
      ),
      prompt: z.string(),
      negative_prompt: z.string(),
      seed: z.string().meta({ description: 'Decimal: larger than many JSON readers can hold.' }),
      steps: count,
      cfg: z.number(),
      megapixels: z.number(),
      workflow: z.string(),
      parameters: z.record(z.string(), z.unknown()),
      priority: z.string(),
    }),
    events: z.array(z.object({ at: time, event: z.string(), detail: z.string().nullable() })),
    engine: z.string().nullable(),
    engine_report: z.string().optional().meta({ description: 'What the engine said of a failure.' }),
    attempt: count,
    created_at: time,
    started_at: time.nullable(),
    finished_at: time.nullable(),
    expires_at: time.nullable(),
  })
  .meta({ id: 'JobDebug' });

/** GET `/debug/job/{job_id}`. */
export const debugAnswer = z.intersection(statusAnswer, debugFields);

export type HealthAnswer = z.output<typeof healthAnswer>;
export type EditBody = z.output<typeof editBody>;
export type EditAnswer = z.output<typeof editAnswer>;
export type StatusAnswer = z.output<typeof statusAnswer>;
export type JobsAnswer = z.output<typeof jobsAnswer>;
export type FilesAnswer = z.output<typeof filesAnswer>;
export type DebugFields = z.output<typeof debugFields>;
