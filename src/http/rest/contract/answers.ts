import { z } from 'zod';
import type { ZodOpenApiResponseObject } from 'zod-openapi';
import { errorResponse } from './responses.ts';

/** A response with a JSON body. */
export function json(description: string, schema: z.ZodType): ZodOpenApiResponseObject {
  return { description, content: { 'application/json': { schema } } };
}

/** A response with the body of every error. */
export function error(description: string): ZodOpenApiResponseObject {
  return json(description, errorResponse);
}

/** The header of responses about what has not ended. */
export const pollAgain = {
  'Retry-After': { description: 'Seconds after which to poll again.', schema: { type: 'integer' as const } },
};

/** What any route may respond with. */
export const failures = {
  '401': error('Keys are required, and the request has no valid one.'),
  '403': error('For operators only, or sent by a page of another site.'),
  '429': error('Too many requests; Retry-After says when to try again.'),
  '500': error('An internal error, with a reference to the log.'),
  '503': error('The store is unavailable, or the gateway is stopping.'),
};

/** A path of a job that does not exist, or not for this caller. */
export const noJob = error('`Job not found`.');

const binary = z.string().meta({ override: { type: 'string', format: 'binary' } });

/** The bodies of images. */
export const imageContent = {
  'image/png': { schema: binary },
  'image/jpeg': { schema: binary },
  'image/webp': { schema: binary },
};
