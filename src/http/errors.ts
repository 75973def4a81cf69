import { type IncomingHttpHeaders, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyError, FastifyReply } from 'fastify';
import { sizeInWords } from '../sizes.ts';

/** Headers that describe a file. An error that follows them would be taken for that file. */
const FILE_HEADERS = ['content-disposition', 'content-length', 'etag', 'last-modified', 'accept-ranges'];

/** Sends an error as `{ detail }`, the form that every error outside of GraphQL has. Removes headers set for a file. */
export function sendError(reply: FastifyReply, status: number, detail: string): FastifyReply {
  for (const name of FILE_HEADERS) reply.removeHeader(name);
  return reply.code(status).type('application/json; charset=utf-8').send({ detail });
}

/** What to say of a body of more than `limit` bytes, with its own size where its headers announce one. */
export function bodyTooLarge(limit: number, headers: IncomingHttpHeaders = {}): string {
  const length = Number(headers['content-length'] ?? 0);
  const [most, got] = [sizeInWords(limit), sizeInWords(length)];
  if (length <= limit) return `The body takes at most ${most}`;
  return most === got
    ? `The body takes at most ${most} (${limit} bytes), got ${length} bytes`
    : `The body takes at most ${most}, got ${got}`;
}

/** 404 for a job that does not exist or belongs to another caller. */
export function sendJobNotFound(reply: FastifyReply): FastifyReply {
  return sendError(reply, 404, 'Job not found');
}

/**
 * Answers requests that the router cannot read: Fastify's `frameworkErrors`. A path parameter that is too long is an id
 * that no job has.
 */
export function answerFrameworkError(error: FastifyError, _request: unknown, reply: FastifyReply): void {
  if (error.code === 'FST_ERR_MAX_PARAM_LENGTH') sendJobNotFound(reply);
  else sendError(reply, error.statusCode ?? 400, error.message);
}

/** Answers what Node's HTTP parser rejects, then closes the connection: Fastify's `clientErrorHandler`. */
export function answerClientError(error: Error & { code?: string }, socket: Duplex): void {
  // The client has closed the connection already.
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, detail] = clientFault(error.code);
  const body = JSON.stringify({ detail });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function clientFault(code: string | undefined): [number, string] {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'The request took too long to arrive'];
    case 'HPE_HEADER_OVERFLOW':
      return [431, 'The headers are too large'];
    default:
      return [400, 'This is not an HTTP request'];
  }
}
