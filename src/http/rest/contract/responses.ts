import { z } from 'zod';
import 'zod-openapi';
import { errorCodes } from '../../../jobs/errors.ts';
import { JOB_PRIORITIES } from '../../../jobs/job.ts';
import { WAIT_CODES } from '../../../jobs/waiting.ts';
import { STAGES } from '../../../workflows/manifest.ts';

/** The statuses of the REST contract; a canceled job has the status `error`. */
export const REST_STATUSES = ['queued', 'processing', 'completed', 'error'] as const;
export type RestStatus = (typeof REST_STATUSES)[number];

const progress = z.number().min(0).max(100).meta({ description: 'Percent, with at most one decimal.' });
const count = z.int().min(0);
const revision = count.optional().meta({
  description:
    'Increases with each change of the job. In events, and when the request has `wait` or `revision`.',
});
const promptId = z.string().nullable().meta({ description: 'The id of the job on its engine.' });

const warnings = z.array(z.string()).meta({
  description: 'Fields that were ignored because they are unknown, one sentence each. Unset: none.',
});

/** Every error. */
export const errorResponse = z
  .object({ detail: z.string() })
  .meta({ id: 'Error', description: 'What went wrong, in one sentence.' });

/** GET `/`. */
export const healthResponse = z
  .object({
    message: z.string(),
    status: z.literal('running'),
    version: z.string(),
    features: z.array(z.string()),
    engine: z.enum(['sandbox', 'comfyui']).meta({ description: 'The sandbox runs no model.' }),
  })
  .meta({ id: 'Health' });

/** POST `/edit-image`. */
export const editResponse = z
  .object({
    job_id: z.string(),
    status: z.enum(REST_STATUSES),
    message: z.string(),
    warnings: warnings.optional(),
  })
  .meta({ id: 'EditAccepted' });

/** A job that has not ended. */
const jobInProgress = z
  .object({
    status: z.enum(['queued', 'processing']),
    progress,
    prompt_id: promptId,
    revision,
    stage: z.enum(STAGES.map(stage => stage.toLowerCase())).optional(),
    step: count.optional().meta({ description: 'Sampler steps completed.' }),
    total_steps: count.optional(),
    queue_position: count.optional().meta({ description: 'Jobs that run before this one.' }),
    waiting_for: z
      .object({
        code: z.enum(WAIT_CODES.map(code => code.toLowerCase())),
        message: z.string().meta({ description: 'One sentence for people.' }),
      })
      .optional()
      .meta({ description: 'Why a queued job waits.' }),
    eta_seconds: z
      .number()
      .optional()
      .meta({ description: 'Estimated from measured steps of similar jobs.' }),
  })
  .meta({ id: 'JobUnderWay' });

/** A job whose image is finished. */
const jobCompleted = z
  .object({
    status: z.literal('completed'),
    progress,
    prompt_id: promptId,
    revision,
    image_ready: z.boolean().meta({ description: 'False if the file is missing; `message` then says so.' }),
    download_url: z.string().optional(),
    image_path: z.string().optional(),
    message: z.string().optional(),
  })
  .meta({ id: 'JobCompleted' });

/** A job that failed or was canceled. */
const jobFailed = z
  .object({
    status: z.literal('error'),
    progress,
    prompt_id: promptId,
    revision,
    error: z.string(),
    error_code: z.enum(errorCodes),
  })
  .meta({ id: 'JobFailed' });

/** GET `/webhooks/{job_id}`. */
export const deliveriesResponse = z
  .object({
    deliveries: z.array(
      z.object({
        id: z.string().meta({ description: 'The header `webhook-id`, the same in every attempt.' }),
        event: z.enum(['started', 'completed', 'error', 'canceled']),
        status: z.enum(['pending', 'delivered', 'failed']),
        attempts: z
          .array(
            z.object({
              at: z.iso.datetime(),
              took_ms: count,
              status_code: z.int().nullable().meta({ description: 'Null if there was no response.' }),
              error: z.string().nullable().meta({ description: 'Why the attempt failed.' }),
            }),
          )
          .meta({ description: 'Oldest first.' }),
        next_attempt_at: z.iso
          .datetime()
          .nullable()
          .meta({ description: 'Approximate. Null: no further attempt.' }),
      }),
    ),
  })
  .meta({ id: 'WebhookDeliveries' });

/** GET `/status/{job_id}`. */
export const statusResponse = z.union([jobInProgress, jobCompleted, jobFailed]).meta({ id: 'JobStatus' });

/** GET `/jobs`. */
export const jobsResponse = z
  .object({
    jobs: z.record(
      z.string(),
      z.object({
        status: z.enum(REST_STATUSES),
        progress,
        label: z.string().optional().meta({ description: 'Of a job that was submitted with one.' }),
        metadata: z
          .record(z.string(), z.string())
          .optional()
          .meta({ description: 'Of a job that was submitted with some.' }),
      }),
    ),
    next: z
      .string()
      .optional()
      .meta({ description: 'The path of the next page, if there is one and the request has a query.' }),
  })
  .meta({ id: 'JobList' });

/** DELETE `/jobs/{job_id}`. */
export const deleteResponse = z.object({ message: z.string() }).meta({ id: 'JobDeleted' });

/** GET `/me`. */
export const meResponse = z
  .object({
    id: z.string().nullable().meta({
      description:
        '`key:` and the name of the key, or `jwt:` and the subject of the token; null without either.',
    }),
    operator: z.boolean(),
    limits: z
      .object({
        policy: z.string(),
        highest_priority: z.enum(JOB_PRIORITIES).nullable(),
        waiting_jobs: count.nullable(),
        running_jobs: count.nullable().meta({
          description: 'Jobs that may have an engine at the same time; more wait.',
        }),
        megapixel_steps_per_day: z.number().nullable(),
        workflows: z.array(z.string()).nullable(),
      })
      .nullable()
      .meta({ description: 'What the policy of the caller limits; null where it has none.' }),
    used: z
      .object({
        waiting_jobs: count,
        running_jobs: count.meta({ description: 'Jobs that have an engine: they run there, or are next.' }),
        megapixel_steps: z.number().meta({ description: 'Submitted since 00:00 UTC.' }),
        resets_at: z.iso.datetime(),
      })
      .nullable()
      .meta({ description: 'What it uses of its limits; null for a caller without an id.' }),
  })
  .meta({ id: 'Caller' });

/** POST `/engines`. */
export const registrationResponse = z
  .object({
    id: z.string(),
    ttl_seconds: z.number().int(),
    expires_at: z.iso.datetime().meta({ description: 'Unless the engine registers again.' }),
  })
  .meta({ id: 'Registered' });

/** DELETE `/engines/{id}`. */
export const signOffResponse = z.object({ id: z.string() }).meta({ id: 'SignedOff' });

/** GET `/debug/files`. */
export const filesResponse = z
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

const debugImage = z.object({
  source: z.string(),
  mime_type: z.string(),
  width: count,
  height: count,
  bytes: count,
});

/** What GET `/debug/job/{job_id}` adds to the status. */
const debugFields = z
  .object({
    job_id: z.string(),
    searched_image_path: z.string().nullable(),
    image_exists: z.boolean(),
    potential_files: z.array(z.string()).meta({ description: 'Files of this job that exist.' }),
    request: z.object({
      images: z.array(z.object({ slot: count, ...debugImage.shape })),
      mask: debugImage.optional(),
      prompt: z.string(),
      negative_prompt: z.string(),
      seed: z
        .string()
        .meta({ description: 'A decimal string, since many JSON parsers cannot hold larger numbers.' }),
      steps: count,
      cfg: z.number(),
      megapixels: z.number().nullable(),
      workflow: z.string(),
      parameters: z.record(z.string(), z.unknown()),
      priority: z.string(),
      label: z.string().nullable(),
      metadata: z.record(z.string(), z.string()),
    }),
    warnings: warnings.optional(),
    events: z.array(z.object({ at: time, event: z.string(), detail: z.string().nullable() })),
    engine: z.string().nullable(),
    engine_report: z.string().optional().meta({ description: 'The engine’s own report of a failure.' }),
    attempt: count,
    created_at: time,
    started_at: time.nullable(),
    finished_at: time.nullable(),
    expires_at: time.nullable(),
  })
  .meta({ id: 'JobDebug' });

/** GET `/debug/job/{job_id}`. */
export const debugResponse = z.intersection(statusResponse, debugFields);

/** POST `/upload`. */
export const uploadResponse = z
  .object({
    upload_id: z.string().meta({ description: 'Use it as `upload:<id>` instead of a URL.' }),
    width: count,
    height: count,
    mime_type: z.enum(['image/png', 'image/jpeg', 'image/webp']),
    bytes: count,
    expires_at: time.meta({ description: 'When it expires. Each edit that uses it postpones that.' }),
    warnings: warnings.optional(),
  })
  .meta({ id: 'Upload' });

export type UploadResponse = z.output<typeof uploadResponse>;
export type HealthResponse = z.output<typeof healthResponse>;
export type EditResponse = z.output<typeof editResponse>;
export type StatusResponse = z.output<typeof statusResponse>;
export type JobsResponse = z.output<typeof jobsResponse>;
export type RegistrationResponse = z.output<typeof registrationResponse>;
export type SignOffResponse = z.output<typeof signOffResponse>;
export type MeResponse = z.output<typeof meResponse>;
export type FilesResponse = z.output<typeof filesResponse>;
export type DeliveriesResponse = z.output<typeof deliveriesResponse>;
export type DebugFields = z.output<typeof debugFields>;
