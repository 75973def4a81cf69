import { type ExecutionResult, GraphQLError } from 'graphql';
import {
  createYoga,
  getSSEProcessor,
  isAsyncIterable,
  type Plugin,
  processRegularResult,
  type YogaLogger,
} from 'graphql-yoga';
import type { Callbacks } from '../../callbacks/callbacks.ts';
import { type CallbackResult, readCallback } from '../../callbacks/protocol.ts';
import type { Log } from '../../log.ts';
import { encodedSubscriber, type StreamSubscriber } from '../../operations/encoded-results.ts';
import type { Mask } from '../../operations/errors.ts';
import {
  isRejected,
  type Operation,
  type Operations,
  type Parameters,
  type Rejected,
  type Source,
  type Subscribed,
} from '../../operations/operations.ts';
import { bodyTooLarge } from '../errors.ts';
import { acceptsCallbacks, resultType, type StreamType, streamType } from './accept.ts';
import { GRAPHQL_PATH } from './graphiql.ts';
import { MULTIPART_HEARTBEAT_MS, MULTIPART_TYPE, multipartProcessor } from './multipart.ts';
import { MAX_BODY_BYTES, TOO_LARGE } from './post.ts';

/** What Yoga is given with each request. */
export interface YogaContext {
  readonly client: Pick<Source, 'context' | 'clientKey'>;
  /** When the caller's credentials expire, in milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
  /** Resolves with whether the response was sent, once that is known. */
  readonly answered: () => Promise<boolean>;
}

export interface YogaOptions {
  readonly operations: Operations;
  /** Null: they are off. */
  readonly callbacks: Callbacks | null;
  readonly mask: Mask;
  readonly log: Log;
}

/**
 * GraphQL over HTTP in all its forms: POST, GET, and server-sent events, parts or callbacks for subscriptions. Yoga reads requests and
 * writes responses; operations are run by `Operations`. Events are in the distinct connections mode of the GraphQL over SSE
 * protocol, a request for each; the single connection mode is not offered, because its reserved stream would tie a client
 * to one gateway of several. CORS is Fastify's, so Yoga's is off: it would allow every origin.
 */
export function createYogaDoor({ operations, callbacks, mask, log }: YogaOptions) {
  return createYoga<YogaContext>({
    graphqlEndpoint: GRAPHQL_PATH,
    logging: toYogaLogger(log),
    // Errors of the HTTP request; those of operations are masked already.
    maskedErrors: { maskError: error => mask(isTooLarge(error) ? withLimit(error) : error) },
    plugins: [useOperations(operations, callbacks)],
    parserAndValidationCache: false,
    cors: false,
    graphiql: false,
    // Images are uploaded by REST, which streams them: Yoga would hold them in memory.
    multipart: false,
    batching: false,
    landingPage: false,
    extraParamNames: ['documentId'],
    healthCheckEndpoint: '/__yoga-health',
    disposeOnProcessTerminate: false,
    maxRequestBodySize: MAX_BODY_BYTES,
  });
}

/** Whether an error is Yoga's about a body that did not announce its length: the route rejects others. */
function isTooLarge(error: unknown): error is GraphQLError {
  return error instanceof GraphQLError && error.extensions.code === TOO_LARGE;
}

function withLimit({ extensions }: GraphQLError): GraphQLError {
  return new GraphQLError(bodyTooLarge(MAX_BODY_BYTES), { extensions });
}

export type YogaDoor = ReturnType<typeof createYogaDoor>;

const CALLBACKS_OFF: CallbackResult = {
  ok: false,
  fault: 'Subscriptions by callbacks are off: the operator has not set CALLBACK_ALLOW',
};

const multipart = multipartProcessor(MULTIPART_HEARTBEAT_MS);

/** Replaces Yoga's own way to run an operation. */
function useOperations(operations: Operations, callbacks: Callbacks | null): Plugin<object, YogaContext> {
  function callBack(
    prepared: Operation,
    extensions: Parameters['extensions'],
    posted: Source,
    { expiresAt, answered }: YogaContext,
  ): ExecutionResult | Promise<ExecutionResult> {
    const source: Source = { ...posted, transport: 'callback' };
    const read = callbacks === null ? CALLBACKS_OFF : readCallback(extensions);
    if (callbacks === null || !read.ok) {
      const message = read.ok ? '' : read.fault;
      const error = new GraphQLError(message, { extensions: { code: 'BAD_REQUEST', http: { status: 400 } } });
      return operations.reject({ kind: prepared.kind, name: prepared.name, errors: [error] }, source);
    }
    return callbacks.subscribe({
      callback: read.callback,
      live: () => operations.live(prepared, source, encodedSubscriber),
      expiresAt,
      answered: answered(),
    });
  }

  return {
    onParams({ params, request, context, setParams, setParamsHandler }) {
      // Anything else is rejected by Yoga's own check, which follows.
      if (typeof params !== 'object' || params === null) return;
      const given: Parameters = request.method === 'GET' ? withDocumentId(params, request.url) : params;
      const source = sourceOf(request, context);
      const named = operations.resolve(given);
      if (isRejected(named)) {
        // Yoga's check wants a text, which a hash does not bring.
        setParams({ query: '' });
        setParamsHandler(() => operations.reject(named, source));
        return;
      }
      const { query } = named.params;
      setParams({ ...params, ...(typeof query === 'string' ? { query } : {}) });
      setParamsHandler(({ params: checked }) => {
        const prepared = operations.prepare({ ...checked });
        if (!isRejected(prepared) && prepared.kind === 'subscription' && wantsCallbacks(request)) {
          return callBack(prepared, checked.extensions, source, context);
        }
        return answer(operations, restrict(prepared, request), source, acceptedStream(request));
      });
    },
    onResultProcess({ request, result, setResultProcessor }) {
      if (isNotAcceptable(result)) return setResultProcessor(processRegularResult, 'application/json');
      const live = isAsyncIterable(result);
      // A single result is sent as such to a client that accepts one.
      if (!live && resultType(acceptOf(request)) !== null) return;
      const stream = acceptedStream(request);
      // Yoga's own parts of multipart/mixed are those of incremental delivery.
      if (stream === 'multipart/mixed') setResultProcessor(multipart, MULTIPART_TYPE);
      else if (live) setResultProcessor(getSSEProcessor(), 'text/event-stream');
      // An error of the request: Yoga would leave out what it is.
      else if (stream === null) setResultProcessor(processRegularResult, 'application/json');
    },
  };
}

function answer(
  operations: Operations,
  prepared: Operation | Rejected,
  source: Source,
  stream: StreamType | null,
): ExecutionResult | Promise<ExecutionResult | AsyncIterable<ExecutionResult>> {
  if (isRejected(prepared)) return operations.reject(prepared, source);
  if (prepared.kind !== 'subscription') return operations.run(prepared, source);
  const transport = stream === 'multipart/mixed' ? 'multipart' : 'sse';
  return streamOf(
    operations.live(prepared, { ...source, transport }, encodedSubscriber),
    source.context.signal,
  );
}

async function streamOf(
  subscribed: Promise<Subscribed<StreamSubscriber>>,
  gone: AbortSignal | undefined,
): Promise<ExecutionResult | AsyncIterable<ExecutionResult>> {
  const found = await subscribed;
  if (!('subscriber' in found)) return found.result;
  const { stream } = found.subscriber;
  // Yoga drops the result of a request whose client has left.
  const leave = (): void => void stream.return?.();
  if (gone?.aborted === true) leave();
  else gone?.addEventListener('abort', leave, { once: true });
  return stream;
}

/** Undefined also where it is empty, as in Yoga. */
function acceptOf({ headers }: Request): string | undefined {
  return headers.get('accept') || undefined;
}

function acceptedStream(request: Request): StreamType | null {
  return streamType(acceptOf(request));
}

/** A form of a page could make a browser send a GET. */
function wantsCallbacks(request: Request): boolean {
  return request.method === 'POST' && acceptsCallbacks(acceptOf(request));
}

/** Rejects what the request's method or `Accept` header cannot carry. */
function restrict(prepared: Operation | Rejected, request: Request): Operation | Rejected {
  const { method } = request;
  const { kind, name } = prepared;
  const accept = acceptOf(request);
  if (kind !== 'subscription' && resultType(accept) === null && streamType(accept) === null) {
    return notAcceptable(prepared, SEND_RESULT_TYPE);
  }
  if (isRejected(prepared)) return prepared;
  if (kind === 'mutation' && method === 'GET') {
    const extensions = { code: 'BAD_REQUEST', http: { status: 405, headers: { Allow: 'POST' } } };
    const message = 'Can only perform a mutation operation from a POST request.';
    return { kind, name, errors: [new GraphQLError(message, { extensions })] };
  }
  if (kind === 'subscription' && acceptedStream(request) === null) {
    return notAcceptable(prepared, SEND_STREAM_TYPE);
  }
  return prepared;
}

const SEND_RESULT_TYPE =
  'A result is answered with JSON: send Accept: application/graphql-response+json, or application/json';
const SEND_STREAM_TYPE =
  'A subscription over HTTP is answered with a stream: send Accept: text/event-stream, or multipart/mixed;subscriptionSpec=1.0';

function notAcceptable({ kind, name }: Operation | Rejected, message: string): Rejected {
  const extensions = { code: NOT_ACCEPTABLE, http: { status: 406 } };
  return { kind, name, errors: [new GraphQLError(message, { extensions })] };
}

const NOT_ACCEPTABLE = 'NOT_ACCEPTABLE';

function isNotAcceptable(result: unknown): boolean {
  if (typeof result !== 'object' || result === null || !('errors' in result)) return false;
  const [error]: readonly unknown[] = Array.isArray(result.errors) ? result.errors : [];
  return error instanceof GraphQLError && error.extensions.code === NOT_ACCEPTABLE;
}

function sourceOf(request: Request, { client }: YogaContext): Source {
  const events = request.headers.get('accept')?.includes('text/event-stream') === true;
  return { ...client, transport: events ? 'sse' : request.method === 'GET' ? 'get' : 'post' };
}

/** Yoga passes on only the query parameters that it knows. */
function withDocumentId(params: Parameters, url: string): Parameters {
  const documentId = new URL(url).searchParams.get('documentId');
  return documentId === null ? params : { ...params, documentId };
}

function toYogaLogger(log: Log): YogaLogger {
  const line =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (...parts: unknown[]): void => {
      const text = parts.map(part => (part instanceof Error ? (part.stack ?? part.message) : String(part)));
      log[level]({}, text.join(' '));
    };
  // Yoga reports every error, those of callers too; ours are logged where they are masked.
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('debug') };
}
