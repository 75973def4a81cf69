import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { error, failures, json, noJob } from '../answers.ts';
import { enginePath, jobPath, registrationBody } from '../requests.ts';
import {
  debugResponse,
  filesResponse,
  healthResponse,
  meResponse,
  registrationResponse,
  signOffResponse,
} from '../responses.ts';

/** The gateway, its callers and engines, and what operators look at. */
export const GATEWAY_PATHS: ZodOpenApiPathsObject = {
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
};
