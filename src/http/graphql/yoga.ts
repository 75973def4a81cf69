import { randomUUID } from 'node:crypto';
import { type DocumentNode, GraphQLError, type GraphQLSchema } from 'graphql';
import { createYoga, type Plugin, type YogaLogger } from 'graphql-yoga';
import { LRUCache } from 'lru-cache';
import type { GraphQLContext } from '../../graphql/context.ts';
import { useSharedSubscriptions } from '../../graphql/shared/use-shared-subscriptions.ts';
import type { Log } from '../../log.ts';
import { STORE_AWAY, storeAwaySeconds } from '../../operations/store-unavailable.ts';
import { type DocumentLimits, useDocumentLimits } from '../limits/documents.ts';
import { type PersistedDocuments, usePersisted } from '../limits/persisted.ts';
import { useWatchQuota, type WatchContext, type WatchQuota } from '../limits/subscriptions.ts';
import { GRAPHQL_PATH } from './page.ts';

/** Of a request. A data URI is a third longer than its picture, and there may be three. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** What an operation is given before Yoga adds its own. */
export interface ServerContext extends WatchContext {
  readonly graphql: GraphQLContext;
}

export interface GraphQLOptions {
  readonly log: Log;
  /** Tell callers what is otherwise hidden behind a reference. */
  readonly showDetails: boolean;
  readonly limits: DocumentLimits;
  readonly persisted: PersistedDocuments;
  readonly quota: WatchQuota;
}

/**
 * GraphQL over HTTP: POST, GET, server-sent events for subscriptions. Those are in the distinct connections mode of the
 * GraphQL over SSE protocol, a request for each; the single connection mode is not offered, because its reserved stream
 * would tie a caller to one gateway of several. Errors that are not meant for callers are masked and logged. Which
 * origins may ask is Fastify's to say, so Yoga, which would let in every one, is told to be silent.
 */
export function createGraphQLServer(schema: GraphQLSchema, options: GraphQLOptions) {
  return createYoga<ServerContext, GraphQLContext>({
    schema,
    graphqlEndpoint: GRAPHQL_PATH,
    logging: toYogaLogger(options.log),
    context: ({ graphql }) => graphql,
    maskedErrors: {
      isDev: options.showDetails,
      maskError: error => maskError(error, options.log, options.showDetails),
    },
    plugins: [
      useParseFaults(),
      usePersisted(options.persisted),
      useDocumentLimits(options.limits),
      useWatchQuota(options.quota),
      useSharedSubscriptions(),
    ],
    parserAndValidationCache: { documentCache: rememberTexts(), errorCache: rememberTexts() },
    cors: false,
    graphiql: false,
    // Files come another way: Yoga would hold them in memory whole.
    multipart: false,
    batching: false,
    landingPage: false,
    extraParamNames: ['documentId'],
    healthCheckEndpoint: '/__yoga-health',
    disposeOnProcessTerminate: false,
    maxRequestBodySize: MAX_BODY_BYTES,
  });
}

/**
 * Gives a text that is no GraphQL the code and status that Yoga gives it over HTTP, whichever way it came first: Yoga
 * remembers the error, and would go on telling it without them.
 */
function useParseFaults(): Plugin {
  return {
    onParse() {
      return ({ result }) => {
        if (!(result instanceof GraphQLError)) return;
        result.extensions.code ??= 'GRAPHQL_PARSE_FAILED';
        result.extensions.http ??= { spec: true, status: 400 };
      };
    },
  };
}

/** An application has some dozens of documents; a parsed one of 2,000 tokens takes a megabyte. */
const REMEMBERED_TEXTS = 256;
/** Characters. What is longer has a picture in it, or is made to take room, and is parsed each time. */
const LONGEST_REMEMBERED = 64 * 1024;
const REMEMBERED_CHARACTERS = 4 * 1024 * 1024;

/** What came of the texts that were parsed last. Yoga's own memory holds a thousand texts of any length. */
function rememberTexts<Parsed extends DocumentNode | Error>(): LRUCache<string, Parsed> {
  return new LRUCache({
    max: REMEMBERED_TEXTS,
    maxSize: REMEMBERED_CHARACTERS,
    maxEntrySize: LONGEST_REMEMBERED,
    sizeCalculation: (_parsed, text) => Math.max(1, text.length),
  });
}

export type GraphQLServer = ReturnType<typeof createGraphQLServer>;

/**
 * The error as a caller may see it: one that was made for callers as it is, any other as a reference under which the
 * log has the rest.
 */
export function maskError(error: unknown, log: Log, showDetails: boolean): GraphQLError {
  const original = error instanceof GraphQLError ? error.originalError : error;
  // Faults of input and of the document are GraphQLErrors through and through.
  if (error instanceof GraphQLError && (original === undefined || original instanceof GraphQLError))
    return error;
  const retryAfterSeconds = storeAwaySeconds(original);
  if (retryAfterSeconds !== null) {
    log.error({ error: original instanceof Error ? original.message : null }, 'the store is away');
    const headers = { 'retry-after': String(retryAfterSeconds) };
    return new GraphQLError(STORE_AWAY, {
      extensions: { code: 'STORE_UNAVAILABLE', retryAfterSeconds, http: { status: 503, headers } },
    });
  }
  // By `goneSignal`: nobody is there to be told, and it is no fault of ours.
  if (original instanceof DOMException && original.name === 'AbortError') {
    log.debug({}, 'the caller left before the answer');
    return new GraphQLError('The caller left', { extensions: { code: 'CALLER_LEFT' } });
  }
  const reference = randomUUID();
  const detail = original instanceof Error ? (original.stack ?? original.message) : String(original);
  const { nodes = null, path = null } = error instanceof GraphQLError ? error : {};
  log.error({ reference, path: path?.join('.') ?? null, error: detail }, 'an operation failed');
  return new GraphQLError(`Internal error, reference ${reference}`, {
    nodes,
    path,
    extensions: { code: 'INTERNAL_SERVER_ERROR', reference, ...(showDetails ? { detail } : {}) },
  });
}

function toYogaLogger(log: Log): YogaLogger {
  const line =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (...parts: unknown[]): void => {
      const text = parts.map(part => (part instanceof Error ? (part.stack ?? part.message) : String(part)));
      log[level]({}, text.join(' '));
    };
  // Yoga tells each error that it meets, faults of callers included; those of ours are logged where they are masked.
  return { debug: line('debug'), info: line('debug'), warn: line('warn'), error: line('debug') };
}
