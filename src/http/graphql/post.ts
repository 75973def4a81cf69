import type { IncomingMessage } from 'node:http';
import { type ExecutionResult, GraphQLError } from 'graphql';
import { type InlineImages, NO_IMAGES } from '../../images/inline.ts';
import {
  isRejected,
  type Operation,
  type Operations,
  type Parameters,
  type Source,
} from '../../operations/operations.ts';
import type { DirectResponse } from '../direct.ts';
import { bodyWithout, createBodyReader, type ReadBody } from '../inline-images.ts';
import { mayBeLarge } from '../limits/held-bytes.ts';
import type { ResultType } from './accept.ts';
import { GRAPHQL_PATH } from './graphiql.ts';
import { imagesIn } from './image-variables.ts';

/** Of a request. A data URI is a third longer than its image, and a request may have three. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** `extensions.code` of the error of a larger one, as in Yoga. */
export const TOO_LARGE = 'REQUEST_ENTITY_TOO_LARGE';

const JSON_TYPE = /^application\/json(?:; ?charset=utf-8)?$/i;

const HEADERS: Readonly<Record<ResultType, readonly string[]>> = {
  'application/json': ['content-type', 'application/json; charset=utf-8'],
  'application/graphql-response+json': ['content-type', 'application/graphql-response+json; charset=utf-8'],
};

/** Whether a request is a POST of plain JSON to exactly the path of GraphQL, judged by its headers. */
export function isPlainPost({ method, url, headers }: IncomingMessage): boolean {
  if (method !== 'POST' || url !== GRAPHQL_PATH || headers['content-encoding'] !== undefined) return false;
  if (headers['content-type'] === undefined || !JSON_TYPE.test(headers['content-type'])) return false;
  // Node rejects a length that is not a number (RFC 9110, 8.6); a chunked body does not say its length.
  const length = Number(headers['content-length']);
  return length > 0 && length <= MAX_BODY_BYTES;
}

/** A property of the request, for Yoga where it has to answer after all. */
const BODY = Symbol('body');

interface ReadMessage extends IncomingMessage {
  [BODY]?: ReadBody;
}

/** Reads the whole body; null when the client goes first. Large images are decoded while they arrive. */
export function readBody(request: ReadMessage): Promise<ReadBody | null> {
  return new Promise(resolve => {
    const chunks: Buffer[] = [];
    const reader = mayBeLarge(request.headers)
      ? createBodyReader(Number(request.headers['content-length']))
      : null;
    request.on('data', (chunk: Buffer) => (reader === null ? chunks.push(chunk) : reader.take(chunk)));
    request.on('end', () => {
      const [first] = chunks;
      const whole = () => (chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
      const body = reader === null ? bodyWithout(whole()) : reader.end();
      request[BODY] = body;
      resolve(body);
    });
    // Follows `end` too, without effect. Listening for it alone also keeps an aborted body from being an error.
    request.on('close', () => resolve(null));
    // It left while its credentials were checked.
    if (request.closed) resolve(null);
  });
}

/** The body that `readBody` read; null: it has not. */
export function bodyOf(request: ReadMessage): ReadBody | null {
  return request[BODY] ?? null;
}

/** Makes the response of a result with errors. */
export type FormatResult = (result: ExecutionResult, type: ResultType) => Promise<Response>;

/**
 * Answers a query or mutation that was posted as plain JSON, without the request and response objects of Yoga, which take
 * several times as long as most operations. Null when Yoga has to answer: the body, the document or its operation has an
 * error, or it is a subscription.
 */
export async function answerPost(
  { operations, format }: { readonly operations: Operations; readonly format: FormatResult },
  body: ReadBody,
  type: ResultType,
  source: Source,
): Promise<DirectResponse | null> {
  const read = readOperation(operations, body);
  if (read === null) return null;
  const { operation, images } = read;
  const from = images.size === 0 ? source : { ...source, context: { ...source.context, images } };
  const result = await operations.run(operation, from);
  if (result.errors !== undefined) return respondToErrors(withoutNames(result, images), type, format);
  return { status: 200, headers: HEADERS[type], body: JSON.stringify(result) };
}

/** The result with `…` in place of the images' names in its errors: a message about a variable quotes its value. */
function withoutNames(result: ExecutionResult, images: InlineImages): ExecutionResult {
  if (images.size === 0) return result;
  const errors = result.errors?.map(error => {
    const message = [...images.keys()].reduce((text, name) => text.replaceAll(name, '…'), error.message);
    if (message === error.message) return error;
    const { nodes = null, path = null, extensions } = error;
    return new GraphQLError(message, { nodes, path, extensions });
  });
  return { ...result, ...(errors === undefined ? {} : { errors }) };
}

/** Makes the response of a result with errors, as Yoga does. */
async function respondToErrors(
  result: ExecutionResult,
  type: ResultType,
  format: FormatResult,
): Promise<DirectResponse> {
  const response = await format(result, type);
  // The length is added as the response is sent.
  response.headers.delete('content-length');
  return {
    status: response.status,
    headers: [...response.headers].flat(),
    body: await response.text(),
  };
}

interface ReadOperation {
  readonly operation: Operation;
  /** The images whose names stand in its variables in place of their base64. */
  readonly images: InlineImages;
}

/** The operation in a JSON body; null when Yoga has to answer. */
function readOperation(operations: Operations, { text, images, original }: ReadBody): ReadOperation | null {
  const params = parseParameters(text);
  if (params === null) return null;
  // A document with a name in it has another length, and other places, than the one that came.
  if (![...images.keys()].some(name => params.query?.includes(name))) {
    const operation = prepare(operations, params);
    if (operation === null) return null;
    if (images.size === 0 || imagesIn(operation, images) === images.size) return { operation, images };
  }
  const whole = parseParameters(original());
  const operation = whole === null ? null : prepare(operations, whole);
  return operation === null ? null : { operation, images: NO_IMAGES };
}

function prepare(operations: Operations, params: Parameters): Operation | null {
  const operation = operations.prepare(params);
  return isRejected(operation) || operation.kind === 'subscription' ? null : operation;
}

/** The parameters in a JSON body; null when it is not an object of well-typed parameters, or names no document. */
function parseParameters(text: Buffer): Parameters | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.toString());
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
