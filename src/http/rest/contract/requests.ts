import { z } from 'zod';
import type { oas31 } from 'zod-openapi';
import { BATCH_LIMIT } from '../../../jobs/batches/batch.ts';
import { positionOf } from '../../../jobs/cursor.ts';
import { JOB_PRIORITIES, WEBHOOK_EVENTS } from '../../../jobs/job.ts';
import { labelFields } from '../../../jobs/labels.ts';
import { editFields, RANGES, takes, webhookField } from '../../../jobs/request.ts';
import { isImageUrl } from './image-source.ts';
import { integerIn, laxInteger, laxNumber, laxSeed } from './numbers.ts';
import { REST_STATUSES } from './responses.ts';

/** The values of `?format=`; `jpg` is an alias of `jpeg`. */
const FORMATS = ['png', 'jpeg', 'jpg', 'webp'] as const;

const imageRule = takes('an http(s) URL or a data: URI of an image, upload:<id> or job:<id>');
const imageUrl = z.string(imageRule).trim().refine(isImageUrl, imageRule);
const optionalImage = z
  .string(imageRule)
  .trim()
  .refine(text => text === '' || isImageUrl(text), imageRule)
  .nullish();

const priorityRule = takes('low, normal, high');
const priority = z.string(priorityRule).transform((text, context) => {
  const name = JOB_PRIORITIES.find(candidate => candidate === text.toUpperCase());
  if (name !== undefined) return name;
  context.addIssue({ code: 'custom', message: priorityRule.error({ input: text }) });
  return z.NEVER;
});

/** An integer of a query. */
export function queryInteger(minimum: number, maximum: number, description: string) {
  const rule = takes(`an integer from ${minimum} to ${maximum}`);
  return z
    .string(rule)
    .transform((text, context) => {
      const value = integerIn(text);
      if (value !== null && value >= minimum && value <= maximum) return Number(value);
      context.addIssue({
        code: 'custom',
        message: rule.error({ input: value === null || value < 0n ? text : value }),
      });
      return z.NEVER;
    })
    .optional()
    .meta({
      description,
      override: { type: 'integer', minimum, maximum },
    });
}

const ttlRule = takes('an integer from 10 to 86400');

/** POST `/engines`. */
export const registrationBody = z
  .object({
    url: z
      .string(takes('the URL of the engine'))
      .meta({ description: 'http or https, without credentials; `ENGINE_ALLOW` has its host.' }),
    ttl_seconds: z
      .number(ttlRule)
      .int(ttlRule)
      .min(10, ttlRule)
      .max(86_400, ttlRule)
      .default(60)
      .meta({ description: 'How long the registration lasts unless it is repeated.' }),
  })
  .meta({ id: 'Registration' });

const WEBHOOK: oas31.SchemaObject = {
  type: 'object',
  properties: {
    url: { type: 'string', format: 'uri' },
    events: { type: 'array', minItems: 1, items: { enum: WEBHOOK_EVENTS.map(name => name.toLowerCase()) } },
  },
  required: ['url'],
  additionalProperties: false,
};

const METADATA: oas31.SchemaObject = {
  type: 'object',
  maxProperties: 16,
  propertyNames: { pattern: '^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$' },
  additionalProperties: { type: 'string', maxLength: 512 },
};

const AS_TEXT = 'A text is taken as the number that it spells.';

/** The body of POST `/edit-image`. Other fields are ignored with a warning, unless the workflow declares them. */
export const editBody = z
  .object({
    image1_url: imageUrl.meta({
      description:
        'The image to edit: an http(s) URL, a `data:` URI, `upload:<id>` of POST /upload, or `job:<id>` for the output image of an earlier job. JPEG, PNG or WebP.',
      example: 'https://example.com/image1.jpg',
    }),
    image2_url: optionalImage.meta({
      description: 'A second image, "image 2" in the prompt.',
    }),
    image3_url: optionalImage.meta({
      description: 'A third image, "image 3" in the prompt, with or without a second one.',
    }),
    mask_url: optionalImage.meta({
      description:
        'Where image 1 changes, given like the images: white, or transparent if any of it is transparent. Every other pixel of the PNG result is that of image 1 as scaled for the edit. Of the size of image 1, or the same shape; soft edges are blended. Only for workflows that take a mask; without `workflow` the first of them runs.',
    }),
    prompt: editFields.prompt.meta({
      description: 'What to change.',
      example: 'Change the background to a forest scene',
    }),
    negative_prompt: editFields.negativePrompt
      .nullish()
      .meta({ description: 'What to avoid. Has no effect at cfg 1.' }),
    seed: laxSeed(editFields.seed).meta({
      description:
        'The same seed and input give the same image: 0 to 18446744073709551615 (2^64-1), as a number or a decimal string. ' +
        'Default: random.',
      example: 12345,
    }),
    steps: laxInteger(editFields.steps, ...RANGES.steps).meta({
      description: `Number of diffusion steps. Default: that of the workflow, 40 for the standard one. ${AS_TEXT}`,
    }),
    cfg: laxNumber(editFields.cfg, ...RANGES.cfg).meta({
      description: `Classifier-free guidance. Default: that of the workflow, 4.0 for the standard one. ${AS_TEXT}`,
    }),
    megapixels: laxNumber(editFields.megapixels, ...RANGES.megapixels).meta({
      description:
        'Size of the output image in units of 1024 × 1024 pixels, in the aspect ratio of image 1. Default: 1.0. Unset for a workflow whose graph decides the size. ' +
        AS_TEXT,
    }),
    workflow: editFields.workflow.nullish().meta({
      description: 'The workflow to run. Default: the first one that an engine can run.',
    }),
    priority: priority.nullish().meta({
      description:
        'Default: normal. A job of the next lower priority is queued as if it was submitted ten minutes later.',
      override: { anyOf: [{ type: 'string', enum: ['low', 'normal', 'high'] }, { type: 'null' }] },
    }),
    webhook: webhookField(event => event.toLowerCase())
      .nullish()
      .meta({
        description:
          'Where the job’s events are posted, each as a signed POST by Standard Webhooks. Default of `events`: every end ' +
          'of a job. Accepted only where the operator has set WEBHOOK_SECRET.',
        override: { anyOf: [WEBHOOK, { type: 'null' }] },
        example: { url: 'https://example.com/hook', events: ['completed', 'error', 'canceled'] },
      }),
    label: labelFields.label.nullish().meta({
      description: 'A line of your own to find the job by: 1 to 200 characters. Has no effect on the image.',
      example: 'spring catalogue',
    }),
    metadata: labelFields.metadata.nullish().meta({
      description:
        'Up to 16 texts of your own by key, to find the job by. Keys: 1 to 64 of A-Z a-z 0-9 _ . : / -, with a letter ' +
        'or digit first. Values: at most 512 characters.',
      override: { anyOf: [METADATA, { type: 'null' }] },
      example: { order: '4711' },
    }),
    variations: laxInteger(editFields.variations, 1, BATCH_LIMIT).meta({
      description:
        'How many jobs of POST /edit-images this edit is: with `seed`, `seed` + 1 and so on, or with different random seeds. ' +
        'Default: 1, the only value in POST /edit-image.',
    }),
  })
  .meta({ id: 'EditRequest', additionalProperties: true });

/** The body of POST `/edit-images`. */
export const editsBody = z
  .object({
    edits: z
      .array(editBody)
      .min(1)
      .max(BATCH_LIMIT)
      .meta({
        description: `The edits, each as in POST /edit-image: at most ${BATCH_LIMIT} jobs in all, each variation counted. An image of several edits is loaded once.`,
      }),
  })
  .meta({ id: 'EditsRequest' });

/** The headers of POST `/edit-image`. */
export const editHeaders = z.object({
  'idempotency-key': editFields.idempotencyKey.optional().meta({
    description:
      'Repeating a request with the same key and body returns the same job. The same key with another body: 409.',
  }),
});

/** The path parameter of all routes about one job. */
export const enginePath = z.object({
  id: z.string().meta({ description: 'As the registration answered it, encoded for a URL.' }),
});

export const jobPath = z.object({
  job_id: z.string().meta({ description: 'The `job_id` of POST /edit-image.' }),
});

/** The path parameter of all routes about one batch. */
export const batchPath = z.object({
  batch_id: z.string().meta({ description: 'The `batch_id` of POST /edit-images.' }),
});

/** Longest wait in one request, in seconds: many proxies close requests after a minute. */
const WAIT_MAX = 55;

/** The query of GET `/status/{job_id}`. */
export const statusQuery = z.object({
  wait: queryInteger(
    0,
    WAIT_MAX,
    'Seconds to wait for a change of the job: the response is sent at the change, or after that time. Default: 0.',
  ),
  revision: queryInteger(
    0,
    999_999_999,
    'The revision that the client has: if the job is at a later one, the response is sent at once. Default: the current one.',
  ),
});

/** The names of the parameters have the prefix, so that OpenAPI's form of an object in a query is what the route takes. */
const METADATA_QUERY: oas31.SchemaObject = {
  type: 'object',
  propertyNames: { pattern: '^metadata\\.[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$' },
  additionalProperties: { type: 'string', maxLength: 512 },
};

/** How many jobs a page of GET `/jobs` has at most, and by default. */
export const LIST_LIMIT = 1000;

const statusRule = takes(`one or several of ${REST_STATUSES.join(', ')}, separated by commas`);
const cursorRule = takes('the `after` of the Link header of a page');

const metadataRule = takes('the form metadata.<key>=<value> in a query');

/** Whether the entries came as parameters of their own. */
function isEntries(given: unknown): boolean {
  return typeof given === 'object' && !Array.isArray(given);
}

/** The query of GET `/jobs`. */
export const jobsQuery = z.object({
  limit: queryInteger(1, LIST_LIMIT, `How many jobs, newest first. Default: ${LIST_LIMIT}.`),
  after: z
    .string(cursorRule)
    .transform((text, context) => {
      const position = positionOf(text);
      if (position !== null) return position;
      context.addIssue({ code: 'custom', message: cursorRule.error({ input: text }) });
      return z.NEVER;
    })
    .optional()
    .meta({ description: 'Lists the jobs of the next page: its URL is in the header Link of a page.' }),
  status: z
    .union([z.string(), z.array(z.string())], statusRule)
    .transform((given, context) => {
      const names = [given].flat().flatMap(text => text.split(','));
      const parsed = z.array(z.enum(REST_STATUSES)).safeParse(names);
      if (parsed.success) return parsed.data;
      context.addIssue({ code: 'custom', message: statusRule.error({ input: names.join(',') }) });
      return z.NEVER;
    })
    .optional()
    .meta({
      description: `Only jobs with these statuses: one or several of ${REST_STATUSES.join(', ')}, separated by commas.`,
      override: { type: 'string' },
    }),
  label: labelFields.label.optional().meta({ description: 'Only jobs with this label.' }),
  metadata: z
    .unknown()
    .refine(isEntries, metadataRule)
    .pipe(labelFields.metadata)
    .optional()
    .meta({
      param: { style: 'form', explode: true },
      description:
        'Only jobs with all of these entries, each as a parameter of its own: `metadata.order=4711`.',
      override: METADATA_QUERY,
    }),
});

/** The query of GET `/download/{job_id}`. */
export const downloadQuery = z.object({
  format: z
    .enum(FORMATS, takes(FORMATS.join(', ')))
    .optional()
    .meta({
      description: 'Convert the image. Default: as the engine made it, without its metadata.',
    }),
  quality: queryInteger(1, 100, 'Quality of a conversion to jpeg or webp. Default: 80.'),
  width: queryInteger(16, 8192, 'Scale the image down to this width in pixels, for thumbnails.'),
  metadata: z.enum(['keep'], takes('keep')).optional().meta({
    description:
      '`keep`: the file as the engine wrote it, with the graph and the prompt in it. Default: without metadata.',
  }),
  index: queryInteger(0, 999, 'Which output image of a job that made several; 0 is the first.'),
});

/** The query of GET `/input/{job_id}`. */
export const inputQuery = z.object({
  slot: z
    .enum(['1', '2', '3', 'mask'], takes('1, 2, 3 or mask'))
    .optional()
    .meta({
      description: 'The number of the input image in the prompt ("image 1"), or `mask`. Default: 1.',
      override: ({ jsonSchema }) => {
        delete jsonSchema.type;
        delete jsonSchema.enum;
        jsonSchema.anyOf = [{ type: 'integer', minimum: 1, maximum: 3 }, { const: 'mask' }];
      },
    }),
});

export type EditBody = z.output<typeof editBody>;
export type JobsQuery = z.output<typeof jobsQuery>;
export type DownloadQuery = z.output<typeof downloadQuery>;
