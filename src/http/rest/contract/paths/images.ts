import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { error, failures, imageContent } from '../answers.ts';
import { downloadQuery, inputQuery, jobPath } from '../requests.ts';

const noBody = { description: 'As for GET, without a body.' };

const downloadResponses = {
  '200': { description: 'The image.', content: imageContent },
  '206': { description: 'The part of the image that Range requests.', content: imageContent },
  '304': { description: 'The client has it already.' },
  '400': error('`Image not ready. Current status: <status>`, or the query is invalid.'),
  '404': error('`Job not found`, or `Image file not found`.'),
  '416': error('The range lies outside the image.'),
  ...failures,
};

/** The bytes of a job’s images. */
export const IMAGE_PATHS: ZodOpenApiPathsObject = {
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
        '200': { description: 'The image as it was loaded.', content: imageContent },
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
        '200': { description: 'The frame.', content: imageContent },
        '404': error('`Job not found`, or it has no preview.'),
        ...failures,
      },
    },
  },
};
