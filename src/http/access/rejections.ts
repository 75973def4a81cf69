import type { FastifyReply, FastifyRequest } from 'fastify';
import { refuse } from '../rest/errors.ts';
import type { Identified } from './identity.ts';

export type RefusalReason = Extract<Identified, { ok: false }>['reason'];

/** Why an answer is none but this, as it is told. */
export interface Told {
  readonly status: number;
  /** GraphQL's `extensions.code`. */
  readonly code: string;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A refusal by the gate, as REST and GraphQL tell it. */
export interface Refusal extends Told {
  readonly status: 401 | 403 | 429 | 503;
  readonly code: 'UNAUTHENTICATED' | 'FORBIDDEN' | 'RATE_LIMITED' | 'UNAVAILABLE';
}

const REALM = 'Bearer realm="qwen-edit"';

/** What somebody who could not be told is answered (RFC 6750, 3). */
export function identityRefusal(reason: RefusalReason): Refusal {
  switch (reason) {
    case 'missing':
      return {
        status: 401,
        code: 'UNAUTHENTICATED',
        message: 'Send a key or token as "Authorization: Bearer …", or a key as X-API-Key',
        headers: { 'www-authenticate': REALM },
      };
    case 'invalid':
      return {
        status: 401,
        code: 'UNAUTHENTICATED',
        message: 'This key or token is not valid here, or no longer',
        headers: { 'www-authenticate': `${REALM}, error="invalid_token"` },
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

/** What a user is answered where operators may go only. */
export const OPERATORS_ONLY: Refusal = {
  status: 403,
  code: 'FORBIDDEN',
  message: 'Only operators may do this',
  headers: {},
};

/** What is answered to a name that is not ours, where names are all that tells pages of other sites apart. */
export const FOREIGN_NAME: Refusal = {
  status: 403,
  code: 'FORBIDDEN',
  message: 'Ask by the address, as localhost, or set PUBLIC_URL to the name that you use',
  headers: {},
};

/** Answers in REST's one form of an error. */
export function refuseRest(reply: FastifyReply, { status, message, headers }: Refusal): FastifyReply {
  return refuse(reply.headers(headers), status, message);
}

/** Answers as GraphQL over HTTP does (https://graphql.github.io/graphql-over-http/draft/#sec-Status-Codes). */
export function refuseGraphQL(request: FastifyRequest, reply: FastifyReply, told: Told): FastifyReply {
  const { status, code, message, headers } = told;
  const wanted = request.headers.accept ?? '';
  const type = wanted.includes('application/graphql-response+json')
    ? 'application/graphql-response+json'
    : 'application/json';
  return reply
    .headers(headers)
    .code(status)
    .type(`${type}; charset=utf-8`)
    .send(JSON.stringify({ errors: [{ message, extensions: { code } }] }));
}
