import { type ExecutionResult, GraphQLError } from 'graphql';
import {
  createYoga,
  getSSEProcessor,
  isAsyncIterable,
  type Plugin,
  processRegularResult,
  type YogaLogger,
} from 'graphql-yoga';
import { createMailbox } from '../../concurrency/mailbox.ts';
import type { Log } from '../../log.ts';
import type { Mask } from '../../operations/errors.ts';
import {
  isRejected,
  type Operation,
  type Operations,
  type Parameters,
  type Rejected,
  type Source,
} from '../../operations/operations.ts';
import type { SharedResult, Subscribed, Subscriber } from '../../operations/subscriptions.ts';
import { acceptsEvents } from './accept.ts';
import { GRAPHQL_PATH } from './graphiql.ts';

/** Of a request. A data URI is a third longer than its image, and a request may have three. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** What Yoga is given with each request. */
export interface YogaContext {
  readonly client: Pick<Source, 'context' | 'clientKey'>;
}

export interface YogaOptions {
  readonly operations: Operations;
  readonly mask: Mask;
  readonly log: Log;
}

/**
 * GraphQL over HTTP in all its forms: POST, GET, and server-sent events for subscriptions. Yoga reads requests and writes
 * responses; operations are run by `Operations`. Events are in the distinct connections mode of the GraphQL over SSE
 * protocol, a request for each; the single connection mode is not offered, because its reserved stream would tie a client
 * to one gateway of several. CORS is Fastify's, so Yoga's is off: it would allow every origin.
 */
export function createYogaDoor({ operations, mask, log }: YogaOptions) {
  return createYoga<YogaContext>({
    graphqlEndpoint: GRAPHQL_PATH,
    logging: toYogaLogger(log),
    // Errors of the HTTP request; those of operations are masked already.
    maskedErrors: { maskError: error => mask(error) },
    plugins: [useOperations(operations)],
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

export type YogaDoor = ReturnType<typeof createYogaDoor>;

/** Replaces Yoga's own way to run an operation. */
function useOperations(operations: Operations): Plugin<object, YogaContext> {
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
      setParamsHandler(({ params: checked }) =>
        answer(operations, restrict(operations.prepare({ ...checked }), request), source),
      );
    },
    onResultProcess({ result, setResultProcessor }) {
      // Yoga would prefer multipart/mixed for a client that accepts anything.
      if (isAsyncIterable(result)) setResultProcessor(getSSEProcessor(), 'text/event-stream');
      else if (isNotAcceptable(result)) setResultProcessor(processRegularResult, 'application/json');
    },
  };
}

function answer(
  operations: Operations,
  prepared: Operation | Rejected,
  source: Source,
): ExecutionResult | Promise<Subscribed> {
  if (isRejected(prepared)) return operations.reject(prepared, source);
  if (prepared.kind !== 'subscription') return operations.run(prepared, source);
  return operations.live(prepared, { ...source, transport: 'sse' }, eventSubscriber);
}

/** Rejects what the request's method or `Accept` header cannot carry. */
function restrict(prepared: Operation | Rejected, { method, headers }: Request): Operation | Rejected {
  if (isRejected(prepared)) return prepared;
  const { kind, name } = prepared;
  if (kind === 'mutation' && method === 'GET') {
    const extensions = { code: 'BAD_REQUEST', http: { status: 405, headers: { Allow: 'POST' } } };
    const message = 'Can only perform a mutation operation from a POST request.';
    return { kind, name, errors: [new GraphQLError(message, { extensions })] };
  }
  if (kind === 'subscription' && !acceptsEvents(headers.get('accept') ?? undefined)) {
    const message =
      'A subscription over HTTP is answered with server-sent events: send Accept: text/event-stream';
    const extensions = { code: NOT_ACCEPTABLE, http: { status: 406 } };
    return { kind, name, errors: [new GraphQLError(message, { extensions })] };
  }
  return prepared;
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

/** A result that is serialised already, as Yoga sends it. */
interface SerialisedResult extends ExecutionResult {
  readonly stringify: () => string;
}

/** Reads a subscription for one stream of server-sent events. */
function eventSubscriber(leave: () => void): Subscriber {
  const { stream, offer, end } = createMailbox<SerialisedResult>(leave);
  /** Whether the reader waits for a result, and otherwise whether one is held for it. */
  let waits = false;
  let holds = false;
  let ready: (() => void) | null = null;
  const read: typeof stream = {
    [Symbol.asyncIterator]: () => read,
    next() {
      const step = stream.next();
      waits = !holds;
      holds = false;
      if (!waits) return step;
      const callback = ready;
      ready = null;
      callback?.();
      return step;
    },
    return: stream.return,
  };
  return {
    stream: read,
    offer({ message }: SharedResult) {
      const replaced = offer({ stringify: () => message.toString('utf8', 0, message.length - 1) });
      holds = !waits;
      waits = false;
      return replaced;
    },
    whenReady(callback) {
      if (waits) callback();
      else ready = callback;
    },
    end,
  };
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
