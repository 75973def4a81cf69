import type { IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { GRAPHQL_PATH } from './page.ts';
import { MAX_BODY_BYTES } from './yoga.ts';

const JSON_TYPE = /^application\/json(?:; ?charset=utf-8)?$/i;

/** Whether a request is a POST to GraphQL's very path, and by its headers one of plain JSON that is not too large. */
export function isPlainPost({ method, url, headers }: FastifyRequest): boolean {
  if (method !== 'POST' || url !== GRAPHQL_PATH || headers['content-encoding'] !== undefined) return false;
  if (headers['content-type'] === undefined || !JSON_TYPE.test(headers['content-type'])) return false;
  // Node has refused what is no number (RFC 9110, 8.6); a body in chunks does not say how long it is.
  const length = Number(headers['content-length']);
  return length > 0 && length <= MAX_BODY_BYTES;
}

/** The whole body; null when its sender went before it was here. */
export function readBody(request: IncomingMessage): Promise<Buffer | null> {
  return new Promise(resolve => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => resolve(Buffer.concat(chunks)));
    // After `end` too, when it says nothing new. Without a listener for it, a body that is cut off is no error.
    request.on('close', () => resolve(null));
  });
}
