import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import type { GraphQLSchema } from 'graphql';
import { createYoga, type YogaLogger } from 'graphql-yoga';
import type { GraphQLContext } from '../../graphql/context.ts';
import type { Log } from '../../log.ts';

/** What an operation is given before Yoga adds its own. */
export interface ServerContext {
  readonly graphql: GraphQLContext;
}

export const GRAPHQL_PATH = '/graphql';

const WELCOME = `# Submit an edit, copy the id, then watch it with the subscription below.
mutation Edit {
  editImage(
    input: {
      images: [{ url: "https://example.com/photo.jpg" }]
      prompt: "Change the background to a forest"
    }
  ) {
    __typename
    ... on Job { id status }
    ... on Error { code message }
  }
}

subscription Watch($jobId: ID! = "the id") {
  jobProgress(jobId: $jobId) {
    status progress stage step totalSteps etaSeconds queuePosition
    images { url width height }
  }
}
`;

/**
 * GraphQL over HTTP: POST, GET, server-sent events for subscriptions, and GraphiQL (all of it served from here) for
 * browsers. Errors that are not meant for callers are masked and logged.
 */
export function createGraphQLServer(schema: GraphQLSchema, log: Log, showDetails: boolean) {
  return createYoga<ServerContext, GraphQLContext>({
    schema,
    graphqlEndpoint: GRAPHQL_PATH,
    logging: toYogaLogger(log),
    context: ({ graphql }) => graphql,
    maskedErrors: { isDev: showDetails },
    renderGraphiQL,
    graphiql: { title: 'Qwen Edit', subscriptionsProtocol: 'WS', defaultQuery: WELCOME },
    // Files come another way: Yoga would hold them in memory whole.
    multipart: false,
    batching: false,
    landingPage: false,
    healthCheckEndpoint: '/__yoga-health',
    disposeOnProcessTerminate: false,
    // A data URI of the largest picture is a third longer than the picture.
    maxRequestBodySize: 64 * 1024 * 1024,
  });
}

export type GraphQLServer = ReturnType<typeof createGraphQLServer>;

function toYogaLogger(log: Log): YogaLogger {
  const line =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (...parts: unknown[]): void => {
      const text = parts.map(part => (part instanceof Error ? (part.stack ?? part.message) : String(part)));
      log[level]({}, text.join(' '));
    };
  return { debug: line('debug'), info: line('debug'), warn: line('warn'), error: line('error') };
}
