import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RateAnswer } from '../../rate.ts';
import { sendError } from '../errors.ts';
import type { Identified } from './identity.ts';

/** Why a request is rejected, in the terms that REST and GraphQL share. */
export interface Rejection {
  readonly status: number;
  /** GraphQL's `extensions.code`. */
  readonly code: string;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Sends a rejection in the error format of a route. */
export type SendRejection = (request: FastifyRequest, reply: FastifyReply, rejection: Rejection) => void;

const CHALLENGE = 'Bearer realm="qwen-edit"';

/** A caller that is identified, also by a signed URL, or is not. */
export type Admitted = Identified | { readonly ok: false; readonly reason: 'url-expired' | 'url-invalid' };

/** The rejection of a caller that could not be identified (RFC 6750, 3). */
export function identityRejection(reason: Extract<Admitted, { ok: false }>['reason']): Rejection {
  switch (reason) {
    case 'missing':
      return {
        status: 401,
        code: 'UNAUTHENTICATED',
        message: 'Send a key or token as "Authorization: Bearer …", or a key as X-API-Key',
        headers: { 'www-authenticate': CHALLENGE },
      };
    case 'invalid':
      return {
        status: 401,
        code: 'UNAUTHENTICATED',
        message: 'The key or token is invalid or has expired',
        headers: { 'www-authenticate': `${CHALLENGE}, error="invalid_token"` },
      };
    case 'url-expired':
    case 'url-invalid':
      return {
        status: 401,
        code: 'UNAUTHENTICATED',
        message:
          reason === 'url-expired'
            ? 'The signed URL has expired: read the job again for a new one'
            : 'The signature does not fit the URL: use the URL as the gateway gave it',
        headers: { 'www-authenticate': CHALLENGE },
      };
    case 'unavailable':
      return {
        status: 503,
        code: 'UNAVAILABLE',
        message: 'Keys and tokens cannot be checked now, try again later',
        headers: { 'retry-after': '10' },
      };
    default:
      return reason satisfies never;
  }
}

/** The caller is identified but is not an operator. */
export const OPERATORS_ONLY: Rejection = {
  status: 403,
  code: 'FORBIDDEN',
  message: 'Only operators may do this',
  headers: {},
};

/** The Host header names another site: see `isOwnName`. */
export const FOREIGN_HOST: Rejection = {
  status: 403,
  code: 'FORBIDDEN',
  message: 'Unknown Host: use the IP address or localhost, or set PUBLIC_URL to the name in use',
  headers: {},
};

/** Too many bytes of request bodies are in memory. */
export const TOO_MUCH_HELD: Rejection = {
  status: 503,
  code: 'UNAVAILABLE',
  message: 'Too many large requests are in flight, try again later',
  headers: { 'retry-after': '5', connection: 'close' },
};

/** The caller, or its address, has used up its rate. */
export function rateRejection({ limit, retryAfterMs }: RateAnswer): Rejection {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  return {
    status: 429,
    code: 'RATE_LIMITED',
    message: `Too many requests, try again in ${seconds} s`,
    headers: {
      'retry-after': String(seconds),
      'x-ratelimit-limit': String(limit),
      'x-ratelimit-remaining': '0',
    },
  };
}

/** The caller has `limit` subscriptions, event streams and waiting polls open. */
export function streamsRejection(limit: number): Rejection {
  return {
    status: 429,
    code: 'RATE_LIMITED',
    message: `At most ${limit} subscriptions at once for one caller`,
    headers: { 'retry-after': '10' },
  };
}

/** As REST formats errors: `{ detail }`. */
export function rejectAsRest(_request: FastifyRequest, reply: FastifyReply, rejection: Rejection): void {
  const { status, message, headers } = rejection;
  sendError(reply.headers(headers), status, message);
}

/** As GraphQL over HTTP formats errors (https://graphql.github.io/graphql-over-http/draft/#sec-Status-Codes). */
export function rejectAsGraphQL(
  request: FastifyRequest,
  reply: FastifyReply,
  { status, code, message, headers }: Rejection,
): FastifyReply {
  const type = request.headers.accept?.includes('application/graphql-response+json')
    ? 'application/graphql-response+json'
    : 'application/json';
  return reply
    .headers(headers)
    .code(status)
    .type(`${type}; charset=utf-8`)
    .send(JSON.stringify({ errors: [{ message, extensions: { code } }] }));
}
