import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { error, failures, imageContent, json, pollAgain } from '../answers.ts';
import { EDIT_EXAMPLES } from '../examples.ts';
import { editBody, editHeaders } from '../requests.ts';
import { editResponse, uploadResponse } from '../responses.ts';

/** The submit of an edit, and uploads for it. */
export const EDIT_PATHS: ZodOpenApiPathsObject = {
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
        '500': error(
          '`Failed to download file from URL: <reason>`, with several images `<field>: <reason>`, or an internal error.',
        ),
      },
    },
  },
  '/upload': {
    post: {
      operationId: 'uploadImage',
      summary: 'Upload an image for later edits',
      tags: ['Edit'],
      requestBody: {
        required: true,
        content: {
          ...imageContent,
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
};
