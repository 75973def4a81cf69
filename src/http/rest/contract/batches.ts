import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { BATCH_PER_SECOND } from '../../../jobs/batches/watch.ts';
import { error, failures, json, pollAgain } from './answers.ts';
import { eventsQuery } from './events.ts';
import { batchPath, editHeaders, editsBody, jobsQuery } from './requests.ts';
import { jobsResponse } from './responses.ts';

const count = z.int().min(0);

/** POST `/edit-images` and POST `/batches/{batch_id}/retry`. */
export const batchAccepted = z
  .object({
    batch_id: z.string(),
    total: count.meta({ description: 'How many jobs were submitted.' }),
    message: z.string(),
    warnings: z.array(z.string()).optional().meta({
      description:
        'Fields that were ignored because they are unknown, one sentence each, after the index of their edit.',
    }),
  })
  .meta({ id: 'BatchAccepted' });

/** GET `/batches/{batch_id}`. */
export const batchResponse = z
  .object({
    batch_id: z.string(),
    total: count.meta({ description: 'How many jobs it was submitted with.' }),
    queued: count,
    processing: count,
    completed: count,
    failed: count,
    canceled: count,
    removed: count.meta({
      description: 'Jobs that were deleted or have expired. With the others they make `total`.',
    }),
    ended: z.boolean().meta({ description: 'Whether all jobs have ended.' }),
    progress: z.number().min(0).max(100).meta({
      description: 'The mean progress of the jobs, where one that has ended counts as 100. It never falls.',
    }),
    eta_seconds: z.number().optional().meta({
      description: 'Seconds until all jobs have ended, at the pace of the batch so far.',
    }),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Batch' });

export type BatchAccepted = z.output<typeof batchAccepted>;
export type BatchResponse = z.output<typeof batchResponse>;

/** The query of GET `/batches/{batch_id}/jobs`. */
export const batchJobsQuery = jobsQuery.pick({ limit: true, after: true, status: true });

/** The query of GET `/batches/{batch_id}/events`. */
export const batchEventsQuery = eventsQuery.pick({ max_per_second: true }).extend({
  max_per_second: eventsQuery.shape.max_per_second.meta({
    description: `Events per second at most; the last one comes at once. Default: ${BATCH_PER_SECOND}.`,
    override: { type: 'number' },
  }),
});

/** The headers of GET `/batches/{batch_id}/events`. */
export const batchEventsHeaders = z.object({
  'last-event-id': z.string().optional().meta({
    description: '`end`: the client has the last event.',
  }),
});

const noBatch = error('`Batch not found`.');

/** The routes of batches, for the OpenAPI document. */
export const BATCH_PATHS: ZodOpenApiPathsObject = {
  '/edit-images': {
    post: {
      operationId: 'editImages',
      summary: 'Submit many edits as one batch',
      description:
        'All of them are stored and will run, or none. An error names the edit by its index: `edits.3.steps takes …`.',
      tags: ['Edit'],
      requestParams: { header: editHeaders },
      requestBody: { required: true, content: { 'application/json': { schema: editsBody } } },
      responses: {
        '200': {
          ...json('The jobs are stored and will run.', batchAccepted),
          headers: {
            Location: { description: 'The URL of the batch.', schema: { type: 'string' } },
            ...pollAgain,
          },
        },
        '400': error('The invalid field and what it takes.'),
        '409': error('The Idempotency-Key was used with another body.'),
        '413': error('The body is too large.'),
        '415': error('The Content-Type is not application/json.'),
        ...failures,
        '429': {
          ...error('The queue has no room for all of them, or too many requests were sent.'),
          headers: { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer' } } },
        },
        '500': error('`Failed to download file from URL: <edit and image>: <reason>`, or an internal error.'),
      },
    },
  },
  '/batches/{batch_id}': {
    get: {
      operationId: 'getBatch',
      summary: 'Counts and progress of a batch',
      tags: ['Batches'],
      requestParams: { path: batchPath },
      responses: {
        '200': { ...json('The batch now.', batchResponse), headers: pollAgain },
        '404': noBatch,
        ...failures,
      },
    },
  },
  '/batches/{batch_id}/jobs': {
    get: {
      operationId: 'listBatchJobs',
      summary: 'Jobs of a batch, in the order of its edits',
      tags: ['Batches'],
      requestParams: { path: batchPath, query: batchJobsQuery },
      responses: {
        '200': {
          ...json('Jobs by id.', jobsResponse),
          headers: {
            Link: { description: '`<url>; rel="next"`, if there are more jobs.', schema: { type: 'string' } },
          },
        },
        '400': error('The query is invalid.'),
        '404': noBatch,
        ...failures,
      },
    },
  },
  '/batches/{batch_id}/events': {
    get: {
      operationId: 'watchBatch',
      summary: 'Live state of a batch',
      description:
        'Server-sent events until all jobs have ended: `data` is a response of `/batches/{batch_id}`. The last event has the id ' +
        '`end`. A stream that ends before says by `retry` when to reconnect.',
      tags: ['Batches'],
      requestParams: { path: batchPath, query: batchEventsQuery, header: batchEventsHeaders },
      responses: {
        '200': { description: 'The stream.', content: { 'text/event-stream': { schema: z.string() } } },
        '204': { description: 'All jobs have ended, and the client has the last event.' },
        '400': error('The query is invalid.'),
        '404': noBatch,
        ...failures,
      },
    },
  },
  '/batches/{batch_id}/cancel': {
    post: {
      operationId: 'cancelBatch',
      summary: 'Stop the jobs of a batch that have not ended',
      tags: ['Batches'],
      requestParams: { path: batchPath },
      responses: {
        '200': json('All jobs have ended.', batchResponse),
        '202': {
          ...json('The other jobs end as soon as their engines have stopped.', batchResponse),
          headers: pollAgain,
        },
        '404': noBatch,
        ...failures,
      },
    },
  },
  '/batches/{batch_id}/retry': {
    post: {
      operationId: 'retryFailed',
      summary: 'Submit the failed jobs of a batch again, as a new batch',
      description: 'Those that have failed so far, with the same requests. Canceled jobs are not among them.',
      tags: ['Batches'],
      requestParams: { path: batchPath },
      responses: {
        '200': json('The jobs of the new batch are stored and will run.', batchAccepted),
        '404': error('`Batch not found`, or the images of a job are gone.'),
        '409': error('No job of the batch has failed.'),
        ...failures,
      },
    },
  },
};
