import { z } from 'zod';
import { createDocument, type ZodOpenApiObject, type ZodOpenApiResponseObject } from 'zod-openapi';
import { downloadQuery, editBody, editHeaders, eventsHeaders, jobPath, statusQuery } from './requests.ts';
import {
  debugAnswer,
  deleteAnswer,
  deliveriesAnswer,
  editAnswer,
  errorAnswer,
  filesAnswer,
  healthAnswer,
  jobsAnswer,
  statusAnswer,
  uploadAnswer,
} from './responses.ts';

function json(description: string, schema: z.ZodType): ZodOpenApiResponseObject {
  return { description, content: { 'application/json': { schema } } };
}

function error(description: string): ZodOpenApiResponseObject {
  return json(description, errorAnswer);
}

const noBody = { description: 'As for GET, without the text.' };
const noJob = error('There is no such job: `Job not found`.');
const binary = z.string().meta({ override: { type: 'string', format: 'binary' } });
const picture = {
  'image/png': { schema: binary },
  'image/jpeg': { schema: binary },
  'image/webp': { schema: binary },
};

const askAgain = {
  'Retry-After': { description: 'Seconds after which to ask again.', schema: { type: 'integer' as const } },
};

const failures = {
  '401': error('Keys are on here, and none that is valid was sent.'),
  '403': error('For operators only, or asked by a page of another site.'),
  '429': error('Too many requests; Retry-After says when to try again.'),
  '500': error('A fault of ours; the reference in it is in the log.'),
  '503': error('The store of jobs is out of reach, or the gateway is stopping.'),
};

const downloadResponses = {
  '200': { description: 'The picture.', content: picture },
  '206': { description: 'The part of the picture that Range asked for.', content: picture },
  '304': { description: 'The caller has it already.' },
  '400': error('`Image not ready. Current status: <status>`, or a query that cannot be read.'),
  '404': error('`Job not found`, or `Image file not found`.'),
  '416': error('The range lies outside the picture.'),
  ...failures,
};

const document = (version: string): ZodOpenApiObject => ({
  openapi: '3.1.0',
  info: {
    title: 'Qwen Image Edit Plus API',
    version,
    description:
      'Edits pictures by a prompt, with up to three source images. Live progress is at `/graphql`.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: '/' }],
  // Where keys are on; without them nobody is asked.
  security: [{}, { bearer: [] }, { apiKey: [] }],
  components: {
    securitySchemes: {
      bearer: { type: 'http', scheme: 'bearer', description: 'A key, or a token of the configured issuer.' },
      apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
    },
  },
  tags: [{ name: 'Edit' }, { name: 'Jobs' }, { name: 'Gateway' }, { name: 'Debug' }],
  paths: {
    '/': {
      get: {
        operationId: 'getHealth',
        summary: 'Health check',
        tags: ['Gateway'],
        responses: {
          '200': json('The gateway runs.', healthAnswer),
          '302': { description: 'A browser is sent on to the page.' },
          ...failures,
        },
      },
    },
    '/edit-image': {
      post: {
        operationId: 'editImage',
        summary: 'Submit an image editing job with up to 3 pictures',
        description: 'Fields that the chosen workflow declares may be sent too; others are ignored.',
        tags: ['Edit'],
        requestParams: { header: editHeaders },
        requestBody: { required: true, content: { 'application/json': { schema: editBody } } },
        responses: {
          '200': {
            ...json('The job is stored and will run.', editAnswer),
            headers: {
              Location: { description: 'Where its status is.', schema: { type: 'string' } },
              ...askAgain,
            },
          },
          '400': error('`Both image1_url and prompt are required`, or the field at fault and what it takes.'),
          '409': error('The Idempotency-Key was used before with another body.'),
          '413': error('The body is too large.'),
          '415': error('The body is not sent as application/json.'),
          ...failures,
          '429': {
            ...error('The queue is full, or too many requests were sent.'),
            headers: { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer' } } },
          },
          '500': error('`Failed to download file from URL: <reason>`, or a fault of ours.'),
        },
      },
    },
    '/upload': {
      post: {
        operationId: 'uploadImage',
        summary: 'Send a picture ahead of the edits that use it',
        tags: ['Edit'],
        requestBody: {
          required: true,
          content: {
            ...picture,
            'multipart/form-data': {
              schema: { type: 'object', properties: { file: { type: 'string', format: 'binary' } } },
            },
          },
        },
        responses: {
          '201': json('It is kept, for an hour after its last use.', uploadAnswer),
          '400': error('It is not a whole JPEG, PNG or WebP picture.'),
          '413': error('It is too large.'),
          '415': error('Neither a picture nor a form with one.'),
          ...failures,
        },
      },
    },
    '/status/{job_id}': {
      get: {
        operationId: 'getStatus',
        summary: 'Status of a job',
        tags: ['Jobs'],
        description: '`?wait=30` waits for the next change instead of asking again and again.',
        requestParams: { path: jobPath, query: statusQuery },
        responses: {
          '200': { ...json('The job as it stands.', statusAnswer), headers: askAgain },
          '400': error('A query that cannot be read.'),
          '404': noJob,
          ...failures,
        },
      },
    },
    '/events/{job_id}': {
      get: {
        operationId: 'watchJob',
        summary: 'Status of a job, live',
        description:
          'Server-sent events until the job ends: `id` is the revision, `data` the status as JSON. ' +
          'With curl: `curl -N`.',
        tags: ['Jobs'],
        requestParams: { path: jobPath, header: eventsHeaders },
        responses: {
          '200': {
            description: 'The stream. The `data` of each event has the form that `/status` answers.',
            content: { 'text/event-stream': { schema: z.string() } },
          },
          '204': { description: 'Nothing follows the event that the caller has: the job has ended.' },
          '404': noJob,
          ...failures,
        },
      },
    },
    '/download/{job_id}': {
      get: {
        operationId: 'downloadImage',
        summary: 'Download the picture',
        tags: ['Jobs'],
        requestParams: { path: jobPath, query: downloadQuery },
        responses: downloadResponses,
      },
      head: {
        operationId: 'checkImage',
        summary: 'Size and type of the picture',
        tags: ['Jobs'],
        requestParams: { path: jobPath, query: downloadQuery },
        responses: {
          '200': { description: 'The headers of the picture.' },
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
          '200': { description: 'The frame.', content: picture },
          '404': error('`Job not found`, or it has no preview.'),
          ...failures,
        },
      },
    },
    '/webhooks/{job_id}': {
      get: {
        operationId: 'listWebhookDeliveries',
        summary: 'What the job’s webhook was told, and what not yet',
        tags: ['Jobs'],
        requestParams: { path: jobPath },
        responses: {
          '200': json('The deliveries, oldest first.', deliveriesAnswer),
          '404': noJob,
          ...failures,
        },
      },
    },
    '/jobs': {
      get: {
        operationId: 'listJobs',
        summary: 'The newest 1000 jobs with their status',
        tags: ['Jobs'],
        responses: { '200': json('Jobs by id.', jobsAnswer), ...failures },
      },
    },
    '/jobs/{job_id}': {
      delete: {
        operationId: 'deleteJob',
        summary: 'Stop a job, and remove it with its files',
        tags: ['Jobs'],
        requestParams: { path: jobPath },
        responses: { '200': json('It is gone.', deleteAnswer), '404': noJob, ...failures },
      },
    },
    '/debug/files': {
      get: {
        operationId: 'listFiles',
        summary: 'Output files of the newest jobs',
        tags: ['Debug'],
        responses: { '200': json('The files.', filesAnswer), ...failures },
      },
    },
    '/debug/job/{job_id}': {
      get: {
        operationId: 'debugJob',
        summary: 'All about a job',
        tags: ['Debug'],
        requestParams: { path: jobPath },
        responses: {
          '200': json('Its status, request, files and history.', debugAnswer),
          '404': noJob,
          ...failures,
        },
      },
    },
  },
});

/** The OpenAPI document of the REST face, made from the schemas that validate. The same for the same version. */
export function buildOpenApi(version: string): object {
  return createDocument(document(version), {
    override({ jsonSchema, io }) {
      // Answers may grow; and a limit of JavaScript's numbers is none of the API's.
      if (io === 'output' && jsonSchema.additionalProperties === false)
        delete jsonSchema.additionalProperties;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
}
