import type { GraphQLContext } from '../graphql/context.ts';

/** What is known of a client, from its request or the upgrade of its socket. */
export interface Client extends Pick<GraphQLContext, 'caller' | 'baseUrl' | 'requestId' | 'traceparent'> {
  /** The key under which its requests and subscriptions are counted. */
  readonly key: string;
}
