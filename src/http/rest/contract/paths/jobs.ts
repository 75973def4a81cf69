import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { error, failures, json, noJob, pollAgain } from '../answers.ts';
import { allEventsQuery, eventsHeaders, eventsQuery } from '../events.ts';
import { jobPath, jobsQuery, statusQuery } from '../requests.ts';
import { deleteResponse, deliveriesResponse, jobsResponse, statusResponse } from '../responses.ts';

/** Jobs: their status, live or not, their list, and what can be done with them. */
export const JOB_PATHS: ZodOpenApiPathsObject = {
  '/status/{job_id}': {
    get: {
      operationId: 'getStatus',
      summary: 'Status of a job',
      tags: ['Jobs'],
      description: '`?wait=30` waits for the next change, instead of polling.',
      requestParams: { path: jobPath, query: statusQuery },
      responses: {
        '200': { ...json('The current status.', statusResponse), headers: pollAgain },
        '400': error('The query is invalid.'),
        '404': noJob,
        ...failures,
      },
    },
  },
  '/events/{job_id}': {
    get: {
      operationId: 'watchJob',
      summary: 'Live status of a job',
      description:
        'Server-sent events until the job ends: `id` is the revision, `data` the status as JSON. A stream that ends before ' +
        'says by `retry` when to reconnect; with `Last-Event-ID` it goes on. ' +
        'With curl: `curl -N`.',
      tags: ['Jobs'],
      requestParams: { path: jobPath, query: eventsQuery, header: eventsHeaders },
      responses: {
        '200': {
          description: 'The stream. The `data` of each event is a response of `/status`.',
          content: { 'text/event-stream': { schema: z.string() } },
        },
        '204': { description: 'The job has ended, and the client has its last event.' },
        '400': error('The query is invalid.'),
        '404': noJob,
        ...failures,
      },
    },
  },
  '/events': {
    get: {
      operationId: 'watchJobs',
      summary: 'Live status of all jobs',
      description:
        'Server-sent events of the caller’s jobs, for as long as the client stays. The `data` of an event is a response of ' +
        '`/status` with the `job_id`. An event named `reset` says to forget what came before: the newest jobs follow. One ' +
        'named `removed` has the `job_id` of a job that was deleted or has expired. After the id of an event, `Last-Event-ID` ' +
        'or `since` continue: with each job that changed meanwhile, once. A client that reads slowly gets each changed job ' +
        'once, too.',
      tags: ['Jobs'],
      requestParams: { query: allEventsQuery, header: eventsHeaders },
      responses: {
        '200': { description: 'The stream.', content: { 'text/event-stream': { schema: z.string() } } },
        '400': error('The query is invalid.'),
        ...failures,
      },
    },
  },
  '/jobs': {
    get: {
      operationId: 'listJobs',
      summary: 'Jobs with their status, newest first',
      description:
        'The newest 1000 jobs. A page that has a next one names its URL in the header Link (RFC 8288).',
      tags: ['Jobs'],
      requestParams: { query: jobsQuery },
      responses: {
        '200': {
          ...json('Jobs by id.', jobsResponse),
          headers: {
            Link: {
              description: '`<url>; rel="next"`, if there are more jobs.',
              schema: { type: 'string' },
            },
          },
        },
        '400': error('The query is invalid.'),
        ...failures,
      },
    },
  },
  '/jobs/{job_id}': {
    delete: {
      operationId: 'deleteJob',
      summary: 'Delete a job and its files; stops it if it is running',
      tags: ['Jobs'],
      requestParams: { path: jobPath },
      responses: { '200': json('The job is deleted.', deleteResponse), '404': noJob, ...failures },
    },
  },
  '/jobs/{job_id}/cancel': {
    post: {
      operationId: 'cancelJob',
      summary: 'Stop a job and keep its record',
      description: 'The response is sent once the engine has stopped. A job that has ended stays as it is.',
      tags: ['Jobs'],
      requestParams: { path: jobPath },
      responses: {
        '200': json('The job has ended; this is its status.', statusResponse),
        '202': {
          ...json('The job ends as soon as its engine has stopped.', statusResponse),
          headers: pollAgain,
        },
        '404': noJob,
        ...failures,
      },
    },
  },
  '/webhooks/{job_id}': {
    get: {
      operationId: 'listWebhookDeliveries',
      summary: 'Deliveries of a job’s webhook',
      tags: ['Jobs'],
      requestParams: { path: jobPath },
      responses: {
        '200': json('The deliveries, oldest first.', deliveriesResponse),
        '404': noJob,
        ...failures,
      },
    },
  },
};
