import { type FormattedExecutionResult, GraphQLError } from 'graphql';

/** An error as a socket tells it: without what it says to HTTP, a status and headers, as Yoga does over HTTP. */
export function withoutHttp(error: GraphQLError): GraphQLError {
  const { http, ...extensions } = error.extensions;
  if (http === undefined) return error;
  const { nodes = null, source = null, positions = null, path = null, originalError = null } = error;
  return new GraphQLError(error.message, { nodes, source, positions, path, originalError, extensions });
}

/** A result with errors, which are told that way. */
export function resultWithoutHttp(
  errors: readonly GraphQLError[],
  data: Record<string, unknown> | null | undefined,
): FormattedExecutionResult {
  const told = errors.map(error => withoutHttp(error).toJSON());
  return data === undefined ? { errors: told } : { errors: told, data };
}
