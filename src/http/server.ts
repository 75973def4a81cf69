import type { IncomingMessage } from 'node:http';
import { type FastifyInstance, type FastifyPluginAsync, fastify } from 'fastify';
import type { GraphQLContext, Services } from '../graphql/context.ts';
import { buildSchema } from '../graphql/schema.ts';
import type { Caller } from '../jobs/service.ts';
import type { Log } from '../log.ts';
import { serveGraphQLSockets } from './graphql/websocket.ts';
import { createGraphQLServer, GRAPHQL_PATH } from './graphql/yoga.ts';
import { answerClientError, answerFrameworkError } from './rest/index.ts';

export interface HttpOptions {
  readonly services: Services;
  readonly rest: FastifyPluginAsync;
  readonly log: Log;
  readonly host: string;
  readonly port: number;
  /** Where callers reach us; null: the host that they asked. */
  readonly publicUrl: string | null;
  /** Largest body of a REST request, in bytes. */
  readonly maxBodyBytes: number;
  readonly showDetails: boolean;
}

export interface HttpServer {
  /** Where it listens, e.g. `http://127.0.0.1:8189`. */
  readonly url: string;
  /** Ends every stream and socket, then stops listening. */
  stop(): Promise<void>;
}

/** How long requests under way may still take when the server stops. */
const DRAIN_MS = 3_000;
const REQUEST_MS = 120_000;
const HEADERS_MS = 15_000;

/** Nobody is told apart yet: everybody is the operator. */
export const ANYBODY: Caller = { id: null, operator: true };

/** Starts to listen. Rejects when the port is taken. */
export async function startHttpServer(options: HttpOptions): Promise<HttpServer> {
  const { services, log } = options;
  const yoga = createGraphQLServer(buildSchema(), log, options.showDetails);
  const app = fastify({
    logger: false,
    bodyLimit: options.maxBodyBytes,
    requestTimeout: REQUEST_MS,
    http: { headersTimeout: HEADERS_MS },
    forceCloseConnections: 'idle',
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerClientError,
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: true },
  });

  function contextOf(request: IncomingMessage, signal: AbortSignal | undefined): { graphql: GraphQLContext } {
    const baseUrl =
      options.publicUrl ?? `http://${request.headers.host ?? `${options.host}:${options.port}`}`;
    return { graphql: { ...services, caller: ANYBODY, baseUrl, signal } };
  }

  await app.register(graphqlRoutes(yoga, contextOf));
  await app.register(options.rest);
  await app.listen({ host: options.host, port: options.port });
  const sockets = serveGraphQLSockets(app.server, yoga, request => contextOf(request, undefined));
  const url = urlOf(app, options.host);

  return {
    url,
    async stop() {
      await sockets.stop();
      // Streams without an end of their own (server-sent events) are cut when the time is over.
      const deadline = setTimeout(() => app.server.closeAllConnections(), DRAIN_MS);
      try {
        await Promise.all([app.close(), yoga.dispose()]);
      } finally {
        clearTimeout(deadline);
      }
    },
  };
}

/** Mounts Yoga. It reads the bodies itself: Fastify passes them on untouched. */
function graphqlRoutes(
  yoga: ReturnType<typeof createGraphQLServer>,
  contextOf: (request: IncomingMessage, signal: AbortSignal) => { graphql: GraphQLContext },
): FastifyPluginAsync {
  return async app => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, _payload, done) => done(null));
    app.route({
      url: GRAPHQL_PATH,
      method: ['GET', 'POST', 'OPTIONS'],
      async handler(request, reply) {
        const gone = new AbortController();
        reply.raw.once('close', () => gone.abort());
        const context = contextOf(request.raw, gone.signal);
        const answer = await yoga.handleNodeRequestAndResponse(request, reply, context);
        for (const [name, value] of answer.headers) reply.header(name, value);
        // For server-sent events behind nginx, which would hold them back otherwise.
        reply.header('x-accel-buffering', 'no');
        reply.code(answer.status).send(answer.body);
        return reply;
      },
    });
  };
}

function urlOf(app: FastifyInstance, host: string): string {
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const name = host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}`;
}
