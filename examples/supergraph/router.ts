import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createGatewayRuntime, getGraphQLWSOptions } from '@graphql-hive/gateway-runtime';
import { MemPubSub } from '@graphql-hive/pubsub';
import { composeServices, compositionHasErrors } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

/** A subgraph as composition needs it. */
export interface Part {
  readonly name: string;
  readonly url: string;
  readonly sdl: string;
}

/** The SDL of the supergraph. Throws with every reason when the parts do not fit. */
export function compose(parts: readonly Part[]): string {
  const result = composeServices(parts.map(({ name, url, sdl }) => ({ name, url, typeDefs: parse(sdl) })));
  if (compositionHasErrors(result)) {
    throw new Error(result.errors.map(({ message }) => message).join('\n'));
  }
  return result.supergraphSdl;
}

export interface RouterOptions {
  readonly supergraph: string;
  /** 0 takes a free one. */
  readonly port: number;
  /**
   * How the router subscribes to the gateway: server-sent events need no setting at all; for callbacks the gateway needs
   * `CALLBACK_ALLOW` with this router's host.
   */
  readonly subscriptions: 'sse' | 'ws' | 'callbacks';
}

export interface Router {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts Hive Gateway in front of the subgraphs, on loopback. What a caller sends as `authorization` goes on to them:
 * as the header over HTTP, in `connection_init` over WebSocket, where routers send no headers.
 */
export async function startRouter(options: RouterOptions): Promise<Router> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const runtime = createGatewayRuntime({
    supergraph: options.supergraph,
    logging: false,
    propagateHeaders: {
      fromClientToSubgraphs({ request }) {
        const authorization = request.headers.get('authorization');
        return authorization === null ? {} : { authorization };
      },
    },
    ...subscribing(options.subscriptions, url),
  });
  server.on('request', (request, response) => void runtime(request, response));
  const sockets = new WebSocketServer({ server, path: '/graphql' });
  const protocol = useServer(
    getGraphQLWSOptions<object, { request: IncomingMessage }>(runtime, ({ connectionParams, extra }) => {
      const given = new Headers();
      const { authorization = extra.request.headers.authorization } = { ...connectionParams };
      if (typeof authorization === 'string') given.set('authorization', authorization);
      // A socket's operations have no request of their own: this one stands for what the caller said at its start.
      const request = new Request(new URL('/graphql', 'http://router'), { headers: given });
      return { request, headers: Object.fromEntries(given) };
    }),
    sockets,
  );
  return {
    url,
    async stop() {
      await protocol.dispose();
      sockets.close();
      await runtime[Symbol.asyncDispose]();
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}

/** The settings of the runtime for a way to subscribe. */
function subscribing(way: RouterOptions['subscriptions'], url: string) {
  switch (way) {
    case 'sse':
      return {};
    case 'ws': {
      const connectionParams = { authorization: '{context.headers.authorization}' };
      const subscriptions = { kind: 'ws', location: '/graphql', options: { connectionParams } };
      return { transportEntries: { jobs: { options: { subscriptions } } } };
    }
    case 'callbacks': {
      const options = { public_url: `${url}/callback`, path: '/callback', heartbeat_interval: 5_000 };
      const subscriptions = { kind: 'http-callback', location: '/graphql', options };
      return {
        webhooks: true,
        pubsub: new MemPubSub(),
        transportEntries: { jobs: { options: { subscriptions } } },
      };
    }
    default:
      return way satisfies never;
  }
}
