import { randomUUID } from 'node:crypto';
import { type ExecutionResult, type FormattedExecutionResult, GraphQLError } from 'graphql';
import type { Log } from '../log.ts';
import { STORE_UNAVAILABLE, storeRetryAfter } from './store-unavailable.ts';

/** Turns any error into one that callers may see. The log names its request. */
export type Mask = (error: unknown, requestId?: string) => GraphQLError;

/**
 * Masks errors: one that was made for callers passes as it is, any other becomes a reference under which the log has the
 * rest. `showDetails` adds the stack, for development.
 */
export function createMask(log: Log, showDetails: boolean): Mask {
  return (error, requestId) => {
    const about = requestId === undefined ? {} : { requestId };
    const original = error instanceof GraphQLError ? error.originalError : error;
    // Errors of input and documents are GraphQLErrors all the way down.
    if (error instanceof GraphQLError && (original === undefined || original instanceof GraphQLError))
      return withCode(error);
    const retryAfterSeconds = storeRetryAfter(original);
    if (retryAfterSeconds !== null) {
      log.error({ ...about, err: original }, 'the store is out of reach');
      const headers = { 'retry-after': String(retryAfterSeconds) };
      return new GraphQLError(STORE_UNAVAILABLE, {
        extensions: { code: 'STORE_UNAVAILABLE', retryAfterSeconds, http: { status: 503, headers } },
      });
    }
    // From `goneSignal`: the client closed the connection, which is not an error of ours.
    if (original instanceof DOMException && original.name === 'AbortError') {
      log.debug(about, 'the client left before the response');
      return new GraphQLError('The caller left', { extensions: { code: 'CALLER_LEFT' } });
    }
    const reference = randomUUID();
    const { nodes = null, path = null } = error instanceof GraphQLError ? error : {};
    log.error({ ...about, reference, path: path?.join('.') ?? null, err: original }, 'an operation failed');
    const detail = original instanceof Error ? (original.stack ?? original.message) : String(original);
    return new GraphQLError(`Internal error, reference ${reference}`, {
      nodes,
      path,
      extensions: { code: 'INTERNAL_SERVER_ERROR', reference, ...(showDetails ? { detail } : {}) },
    });
  };
}

/**
 * Adds a code to an error without one: graphql-js reports a variable or an argument that does not fit its type, which the
 * caller has to change. Nothing was executed where it has no path, so the response is then a 400 for clients that accept
 * `application/graphql-response+json`.
 */
function withCode(error: GraphQLError): GraphQLError {
  error.extensions.code ??= 'BAD_USER_INPUT';
  if (error.path === undefined) error.extensions.http ??= { spec: true, status: 400 };
  return error;
}

/** The result with each of its errors masked. */
export function maskResult(
  { errors, ...rest }: ExecutionResult,
  mask: Mask,
  requestId: string,
): ExecutionResult {
  return errors === undefined ? rest : { errors: errors.map(error => mask(error, requestId)), ...rest };
}

/** Whether an error says that the store is out of reach; executing again would only wait for it again. */
export function isStoreAway({ originalError }: GraphQLError): boolean {
  return storeRetryAfter(originalError) !== null;
}

/** The error without `extensions.http`, the status and headers that only HTTP responses use. */
export function withoutHttp(error: GraphQLError): GraphQLError {
  const { http, ...extensions } = error.extensions;
  if (http === undefined) return error;
  const { nodes = null, source = null, positions = null, path = null, originalError = null } = error;
  return new GraphQLError(error.message, { nodes, source, positions, path, originalError, extensions });
}

/** The result as it is sent where there is no HTTP response of its own: over a socket. */
export function formatResult({ errors, data, extensions }: ExecutionResult): FormattedExecutionResult {
  return {
    ...(errors === undefined ? {} : { errors: errors.map(error => withoutHttp(error).toJSON()) }),
    ...(data === undefined ? {} : { data }),
    ...(extensions === undefined ? {} : { extensions }),
  };
}
