import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../../log.ts';
import { STORE_AWAY, storeAwaySeconds } from '../../operations/store-unavailable.ts';

/** Headers that speak of a file: an error must not be taken for it. */
const FILE_HEADERS = ['content-disposition', 'content-length', 'etag', 'last-modified', 'accept-ranges'];

/** Answers with the one form that every error has, and takes back what was already said of another answer. */
export function refuse(reply: FastifyReply, status: number, detail: string): FastifyReply {
  for (const name of FILE_HEADERS) reply.removeHeader(name);
  return reply.code(status).type('application/json; charset=utf-8').send({ detail });
}

/** 404 for a job that is not there, or not the caller's. */
export function jobNotFound(reply: FastifyReply): FastifyReply {
  return refuse(reply, 404, 'Job not found');
}

/** What is thrown in a route: told when the caller is at fault, hidden behind a logged reference when we are. */
export function errorHandler(maxBodyBytes: number, log: Log) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    switch (error.code) {
      case 'FST_ERR_CTP_BODY_TOO_LARGE':
        return refuse(reply, 413, `The body takes at most ${maxBodyBytes} bytes`);
      case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
        return refuse(reply, 415, unsupportedType(request.headers['content-type']));
      default:
    }
    if (error.name === 'AbortError' && reply.raw.destroyed) {
      log.debug(about(request), 'the client left before the response');
      return refuse(reply, 499, 'The caller left');
    }
    const away = error.statusCode === undefined ? storeAwaySeconds(error) : null;
    if (away !== null) {
      log.error({ ...about(request), error: error.message }, 'the store is away');
      return refuse(reply.header('retry-after', away), 503, STORE_AWAY);
    }
    const status = error.statusCode ?? 500;
    if (status >= 400 && status < 500) return refuse(reply, status, error.message);
    const reference = randomUUID();
    log.error({ ...about(request), reference, error: error.stack ?? String(error) }, 'a request failed');
    return refuse(reply, 500, `Internal error, reference ${reference}`);
  };
}

/**
 * Answers for requests that no route can be found for: Fastify's `frameworkErrors`. A parameter that is too long
 * is an id that no job has.
 */
export function answerFrameworkError(error: FastifyError, _request: unknown, reply: FastifyReply): void {
  if (error.code === 'FST_ERR_MAX_PARAM_LENGTH') jobNotFound(reply);
  else refuse(reply, error.statusCode ?? 400, error.message);
}

/** Answers for what is not HTTP: Fastify's `clientErrorHandler`. Closes the connection. */
export function answerClientError(error: Error & { code?: string }, socket: Duplex): void {
  // Nobody is there to be answered.
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

function unsupportedType(type: string | undefined): string {
  const got = type === undefined ? 'no Content-Type' : type.slice(0, 100);
  return `Send the body as JSON with the header Content-Type: application/json (curl: -H "Content-Type: application/json"), got ${got}`;
}

function about(request: FastifyRequest): object {
  return { method: request.method, route: request.routeOptions.url ?? null };
}
