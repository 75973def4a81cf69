import { z } from 'zod';
import type { oas31 } from 'zod-openapi';
import { JOB_PRIORITIES } from '../../../jobs/job.ts';
import { editFields } from '../../../jobs/request.ts';
import { WEBHOOK_EVENTS } from '../../../jobs/webhook.ts';
import { show } from '../../../workflows/messages.ts';

/** What `?format=` takes; `jpg` is another word for `jpeg`. */
const FORMATS = ['png', 'jpeg', 'jpg', 'webp'] as const;

function takes(what: string): { error: (issue: { input?: unknown }) => string } {
  return { error: issue => `takes ${what}, got ${show(issue.input)}` };
}

const imageRule = takes('an http(s) URL or a data: URI of a picture, upload:<id> or job:<id>');
const imageUrl = z.string(imageRule).trim().refine(isPictureUrl, imageRule);
const optionalImage = z
  .string(imageRule)
  .trim()
  .refine(text => text === '' || isPictureUrl(text), imageRule)
  .nullish();

/** A picture that we have: one that was sent ahead, or that an earlier job made. */
export const OWN_PICTURE = /^(upload|job):([\w-]{1,64})$/i;

/** Reads no further than it must: a data URI can have megabytes. */
function isPictureUrl(text: string): boolean {
  return /^data:/i.test(text) || OWN_PICTURE.test(text) || (/^https?:\/\//i.test(text) && URL.canParse(text));
}

const priorityRule = takes('low, normal, high');
const priority = z.string(priorityRule).transform((text, context) => {
  const name = JOB_PRIORITIES.find(candidate => candidate === text.toUpperCase());
  if (name !== undefined) return name;
  context.addIssue({ code: 'custom', message: priorityRule.error({ input: text }) });
  return z.NEVER;
});

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

const WEBHOOK: oas31.SchemaObject = {
  type: 'object',
  properties: {
    url: { type: 'string', format: 'uri' },
    events: { type: 'array', minItems: 1, items: { enum: WEBHOOK_EVENTS.map(name => name.toLowerCase()) } },
  },
  required: ['url'],
  additionalProperties: false,
};

/** The body of POST `/edit-image`. Fields it does not name are ignored, but for those of the workflow. */
export const editBody = z
  .object({
    image1_url: imageUrl.meta({
      description:
        'The picture to edit: an http(s) URL, a `data:` URI, `upload:<id>` of POST /upload, or `job:<id>` for what an earlier job made. JPEG, PNG or WebP.',
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
    priority: priority.nullish().meta({
      description: 'Left out: normal.',
      override: { anyOf: [{ type: 'string', enum: ['low', 'normal', 'high'] }, { type: 'null' }] },
    }),
    webhook: editFields.webhook.nullish().meta({
      description:
        'Whom to tell of the job: a signed POST for each of the events, by Standard Webhooks. Left out, `events` is ' +
        'every end of a job. Taken only where the operator has set WEBHOOK_SECRET.',
      override: { anyOf: [WEBHOOK, { type: 'null' }] },
      example: { url: 'https://example.com/hook', events: ['completed', 'error', 'canceled'] },
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

/** Longest that a caller may wait in one request, in seconds: proxies end what takes a minute. */
const WAIT_MAX = 55;

/** The query of GET `/status/{job_id}`. */
export const statusQuery = z.object({
  wait: queryInteger(
    0,
    WAIT_MAX,
    'Seconds to wait for a change before the answer: it comes with the change, or when they are over. Left out: 0.',
  ),
  revision: queryInteger(
    0,
    999_999_999,
    'The revision that the caller knows: a job that is at a later one is answered at once. Left out: the present one.',
  ),
});

/** The headers of GET `/events/{job_id}`. */
export const eventsHeaders = z.object({
  'last-event-id': z.string().optional().meta({
    description: 'The id of the last event that the caller has, as EventSource sends it.',
  }),
});

/** The query of GET `/download/{job_id}`. */
export const downloadQuery = z.object({
  format: z
    .enum(FORMATS, takes(FORMATS.join(', ')))
    .optional()
    .meta({
      description: 'Convert the picture. Left out: as the engine made it, without its metadata.',
    }),
  quality: queryInteger(1, 100, 'Of a conversion to jpeg or webp. Left out: 80.'),
  metadata: z.enum(['keep'], takes('keep')).optional().meta({
    description:
      'The file as the engine wrote it, with its graph and the prompt in it. Left out: the picture alone.',
  }),
  index: queryInteger(0, 999, 'Which picture of a job that made several; 0 is the first.'),
});

export type EditBody = z.output<typeof editBody>;
export type DownloadQuery = z.output<typeof downloadQuery>;
