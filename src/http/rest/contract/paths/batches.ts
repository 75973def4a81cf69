import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { error, failures, json, pollAgain } from '../answers.ts';
import {
  batchAccepted,
  batchEventsHeaders,
  batchEventsQuery,
  batchJobsQuery,
  batchResponse,
} from '../batches.ts';
import { batchPath, editHeaders, editsBody } from '../requests.ts';
import { jobsResponse } from '../responses.ts';

const noBatch = error('`Batch not found`.');

/** Batches: their submit, their status, live or not, their jobs, and what can be done with them. */
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
