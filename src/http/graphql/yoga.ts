import { randomUUID } from 'node:crypto';
import { GraphQLError, type GraphQLSchema } from 'graphql';
import { createYoga, type YogaLogger } from 'graphql-yoga';
import type { GraphQLContext } from '../../graphql/context.ts';
import { useSharedSubscriptions } from '../../graphql/shared/use-shared-subscriptions.ts';
import type { Log } from '../../log.ts';
import { type DocumentLimits, useDocumentLimits } from '../limits/documents.ts';
import { type PersistedDocuments, usePersisted } from '../limits/persisted.ts';
import { useWatchQuota, type WatchContext, type WatchQuota } from '../limits/subscriptions.ts';
import { STORE_AWAY, storeAwaySeconds } from '../store-away.ts';
import { GRAPHQL_PATH } from './page.ts';

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
      usePersisted(options.persisted),
      useDocumentLimits(options.limits),
      useWatchQuota(options.quota),
      useSharedSubscriptions(),
    ],
    cors: false,
    graphiql: false,
    // Files come another way: Yoga would hold them in memory whole.
    multipart: false,
    batching: false,
    landingPage: false,
    extraParamNames: ['documentId'],
    healthCheckEndpoint: '/__yoga-health',
    disposeOnProcessTerminate: false,
    // A data URI of the largest picture is a third longer than the picture.
    maxRequestBodySize: 64 * 1024 * 1024,
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
