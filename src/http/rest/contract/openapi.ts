import { z } from 'zod';
import { createDocument, type ZodOpenApiObject } from 'zod-openapi';
import { error, failures, json, pollAgain } from './answers.ts';
import { BATCH_PATHS } from './batches.ts';
import { allEventsQuery, eventsHeaders, eventsQuery } from './events.ts';
import { EDIT_EXAMPLES } from './examples.ts';
import {
  downloadQuery,
  editBody,
  editHeaders,
  enginePath,
  inputQuery,
  jobPath,
  jobsQuery,
  registrationBody,
  statusQuery,
} from './requests.ts';
import {
  debugResponse,
  deleteResponse,
  deliveriesResponse,
  editResponse,
  filesResponse,
  healthResponse,
  jobsResponse,
  meResponse,
  registrationResponse,
  signOffResponse,
  statusResponse,
  uploadResponse,
} from './responses.ts';

const noBody = { description: 'As for GET, without a body.' };
const noJob = error('`Job not found`.');
const binary = z.string().meta({ override: { type: 'string', format: 'binary' } });
const image = {
  'image/png': { schema: binary },
  'image/jpeg': { schema: binary },
  'image/webp': { schema: binary },
};

const downloadResponses = {
  '200': { description: 'The image.', content: image },
  '206': { description: 'The part of the image that Range requests.', content: image },
  '304': { description: 'The client has it already.' },
  '400': error('`Image not ready. Current status: <status>`, or the query is invalid.'),
  '404': error('`Job not found`, or `Image file not found`.'),
  '416': error('The range lies outside the image.'),
  ...failures,
};

const document = (version: string): ZodOpenApiObject => ({
  openapi: '3.1.0',
  info: {
    title: 'Qwen Image Edit Plus API',
    version,
    description: 'Edits images by a prompt, with up to three input images. Live progress is at `/graphql`.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: '/' }],
  // All optional: keys and tokens are only checked where they are configured.
  security: [{}, { bearer: [] }, { apiKey: [] }],
  components: {
    securitySchemes: {
      bearer: { type: 'http', scheme: 'bearer', description: 'A key, or a token of the configured issuer.' },
      apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      engineKey: { type: 'http', scheme: 'bearer', description: 'A key of `ENGINE_KEYS`.' },
    },
  },
  tags: [
    { name: 'Edit' },
    { name: 'Jobs' },
    { name: 'Batches' },
    { name: 'Gateway' },
    { name: 'Engines' },
    { name: 'Debug' },
  ],
  paths: {
    '/': {
      get: {
        operationId: 'getHealth',
        summary: 'Health check',
        tags: ['Gateway'],
        responses: {
          '200': {
            description: 'The gateway runs. Browsers, which prefer HTML, get Studio.',
            content: { 'application/json': { schema: healthResponse }, 'text/html': { schema: z.string() } },
          },
          '302': { description: 'Redirects browsers to /docs where Studio is off.' },
          '304': { description: 'The browser has the page.' },
          ...failures,
        },
      },
    },
    '/edit-image': {
      post: {
        operationId: 'editImage',
        summary: 'Submit an image editing job with up to 3 input images',
        description:
          'Fields that the chosen workflow declares are accepted too; any other is ignored, with a warning.',
        tags: ['Edit'],
        requestParams: { header: editHeaders },
        requestBody: {
          required: true,
          content: { 'application/json': { schema: editBody, examples: EDIT_EXAMPLES } },
        },
        responses: {
          '200': {
            ...json('The job is stored and will run.', editResponse),
            headers: {
              Location: { description: 'The URL of its status.', schema: { type: 'string' } },
              ...pollAgain,
            },
          },
          '400': error('`Both image1_url and prompt are required`, or the invalid field and what it takes.'),
          '409': error('The Idempotency-Key was used with another body.'),
          '413': error('The body is too large.'),
          '415': error('The Content-Type is not application/json.'),
          ...failures,
          '403': error('The policy of the caller does not allow the edit.'),
          '429': {
            ...error('The queue is full, a limit of the caller is reached, or too many requests were sent.'),
            headers: { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer' } } },
          },
          '500': error('`Failed to download file from URL: <reason>`, or an internal error.'),
        },
      },
    },
    ...BATCH_PATHS,
    '/upload': {
      post: {
        operationId: 'uploadImage',
        summary: 'Upload an image for later edits',
        tags: ['Edit'],
        requestBody: {
          required: true,
          content: {
            ...image,
            'multipart/form-data': {
              schema: { type: 'object', properties: { file: { type: 'string', format: 'binary' } } },
            },
          },
        },
        responses: {
          '201': json('Stored until an hour (the default) after its last use.', uploadResponse),
          '400': error('Not a complete JPEG, PNG or WebP image, or a form with several files.'),
          '413': error('The image is too large.'),
          '415': error('Neither an image nor a form with one.'),
          ...failures,
        },
      },
    },
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
    '/download/{job_id}': {
      get: {
        operationId: 'downloadImage',
        summary: 'Download an output image',
        tags: ['Jobs'],
        requestParams: { path: jobPath, query: downloadQuery },
        responses: downloadResponses,
      },
      head: {
        operationId: 'checkImage',
        summary: 'Size and type of an output image',
        tags: ['Jobs'],
        requestParams: { path: jobPath, query: downloadQuery },
        responses: {
          '200': { description: 'The headers of the image.' },
          '304': downloadResponses['304'],
          '400': noBody,
          '404': noBody,
        },
      },
    },
    '/input/{job_id}': {
      get: {
        operationId: 'downloadInputImage',
        summary: 'Download an input image of a job',
        tags: ['Jobs'],
        requestParams: { path: jobPath, query: inputQuery },
        responses: {
          '200': { description: 'The image as it was loaded.', content: image },
          '304': downloadResponses['304'],
          '400': error('The query is invalid.'),
          '404': downloadResponses['404'],
          ...failures,
        },
      },
      head: {
        operationId: 'checkInputImage',
        summary: 'Size and type of an input image',
        tags: ['Jobs'],
        requestParams: { path: jobPath, query: inputQuery },
        responses: {
          '200': { description: 'The headers of the image.' },
          '304': downloadResponses['304'],
          '400': noBody,
          '404': noBody,
        },
      },
    },
    '/preview/{job_id}': {
      get: {
        operationId: 'getPreview',
        summary: 'Newest preview frame of a running job',
        tags: ['Jobs'],
        requestParams: { path: jobPath },
        responses: {
          '200': { description: 'The frame.', content: image },
          '404': error('`Job not found`, or it has no preview.'),
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
    '/me': {
      get: {
        operationId: 'getCaller',
        summary: 'How the caller is identified, its limits, and what it uses of them',
        tags: ['Gateway'],
        responses: { '200': json('The caller.', meResponse), ...failures },
      },
    },
    '/engines': {
      post: {
        operationId: 'registerEngine',
        summary: 'An engine registers, or says that it is still there',
        tags: ['Engines'],
        security: [{ engineKey: [] }],
        requestBody: { required: true, content: { 'application/json': { schema: registrationBody } } },
        responses: {
          '200': json('The registration lasts longer.', registrationResponse),
          '201': json('The engine is in the fleet.', registrationResponse),
          '400': error('The body is invalid, or `ENGINE_ALLOW` does not have the host.'),
          '409': error('An operator has removed or added the engine, or another key has registered it.'),
          '413': error('The body is too large.'),
          '415': error('The body is not JSON.'),
          ...failures,
        },
      },
    },
    '/engines/{id}': {
      delete: {
        operationId: 'signOffEngine',
        summary: 'An engine signs off: what it has not begun goes to others',
        tags: ['Engines'],
        security: [{ engineKey: [] }],
        requestParams: { path: enginePath },
        responses: {
          '200': json('The engine leaves when its last job has ended.', signOffResponse),
          '404': error('This key has registered no such engine.'),
          ...failures,
        },
      },
    },
    '/debug/files': {
      get: {
        operationId: 'listFiles',
        summary: 'Output files of the newest jobs',
        tags: ['Debug'],
        responses: { '200': json('The files.', filesResponse), ...failures },
      },
    },
    '/debug/job/{job_id}': {
      get: {
        operationId: 'debugJob',
        summary: 'Everything about a job',
        tags: ['Debug'],
        requestParams: { path: jobPath },
        responses: {
          '200': json('Its status, request, files and events.', debugResponse),
          '404': noJob,
          ...failures,
        },
      },
    },
  },
});

/** The OpenAPI document of the REST API, generated from the schemas that validate requests. */
export function buildOpenApi(version: string): object {
  return createDocument(document(version), {
    override({ jsonSchema, io }) {
      // Responses may get more fields, and JavaScript's largest integer is not a limit of the API.
      if (io === 'output' && jsonSchema.additionalProperties === false)
        delete jsonSchema.additionalProperties;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
}
