import { GraphQLError } from 'graphql';

/** An error as a socket tells it: without what it says to HTTP, a status and headers, as Yoga does over HTTP. */
export function withoutHttp(error: GraphQLError): GraphQLError {
  const { http, ...extensions } = error.extensions;
  if (http === undefined) return error;
  const { nodes = null, source = null, positions = null, path = null, originalError = null } = error;
  return new GraphQLError(error.message, { nodes, source, positions, path, originalError, extensions });
}
