import type { IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import type { ExecutionResult } from 'graphql';
import { processRegularResult } from 'graphql-yoga';
import { isRejected, type Operations, type Parameters, type Source } from '../../operations/operations.ts';
import type { ResultType } from './accept.ts';
import { GRAPHQL_PATH } from './graphiql.ts';
import { MAX_BODY_BYTES, type YogaDoor } from './yoga.ts';

/** A response to a plain POST. */
export interface PostResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const JSON_TYPE = /^application\/json(?:; ?charset=utf-8)?$/i;

const HEADERS: Readonly<Record<ResultType, Readonly<Record<string, string>>>> = {
  'application/json': { 'content-type': 'application/json; charset=utf-8' },
  'application/graphql-response+json': { 'content-type': 'application/graphql-response+json; charset=utf-8' },
};

/** Whether a request is a POST of plain JSON to exactly the path of GraphQL, judged by its headers. */
export function isPlainPost({ method, url, headers }: FastifyRequest): boolean {
  if (method !== 'POST' || url !== GRAPHQL_PATH || headers['content-encoding'] !== undefined) return false;
  if (headers['content-type'] === undefined || !JSON_TYPE.test(headers['content-type'])) return false;
  // Node rejects a length that is not a number (RFC 9110, 8.6); a chunked body does not say its length.
  const length = Number(headers['content-length']);
  return length > 0 && length <= MAX_BODY_BYTES;
}

/** Reads the whole body; null when the client goes first. */
export function readBody(request: IncomingMessage): Promise<Buffer | null> {
  return new Promise(resolve => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => resolve(Buffer.concat(chunks)));
    // Follows `end` too, without effect. Listening for it alone also keeps an aborted body from being an error.
    request.on('close', () => resolve(null));
  });
}

/**
 * Answers a query or mutation that was posted as plain JSON, without the request and response objects of Yoga, which take
 * several times as long as most operations. Null when Yoga has to answer: the body, the document or its operation has an
 * error, or it is a subscription.
 */
export async function answerPost(
  { operations, yoga }: { readonly operations: Operations; readonly yoga: YogaDoor },
  body: string,
  type: ResultType,
  source: Source,
): Promise<PostResponse | null> {
  const params = readParameters(body);
  if (params === null) return null;
  const operation = operations.prepare(params);
  if (isRejected(operation) || operation.kind === 'subscription') return null;
  return respond(await operations.run(operation, source), type, yoga);
}

async function respond(result: ExecutionResult, type: ResultType, yoga: YogaDoor): Promise<PostResponse> {
  if (result.errors === undefined)
    return { status: 200, headers: HEADERS[type], body: JSON.stringify(result) };
  const response = processRegularResult(result, yoga.fetchAPI, type);
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.text(),
  };
}

/** The parameters in a JSON body; null when it is not an object of well-typed parameters, or names no document. */
function readParameters(body: string): Parameters | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return null;
  }
  if (!isRecord(parsed) || (parsed.query ?? parsed.documentId ?? parsed.extensions ?? null) === null)
    return null;
  return isParameters(parsed) ? parsed : null;
}

function isParameters(value: Record<string, unknown>): value is Record<string, unknown> & Parameters {
  for (const name in value) {
    if (!isWellTyped(name, value[name])) return false;
  }
  return true;
}

function isWellTyped(name: string, value: unknown): boolean {
  switch (name) {
    case 'query':
    case 'operationName':
    case 'documentId':
      return value === null || typeof value === 'string';
    case 'variables':
    case 'extensions':
      return value === null || isRecord(value);
    default:
      return false;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
