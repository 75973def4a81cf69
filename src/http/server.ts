import type { IncomingMessage } from 'node:http';
import { type FastifyInstance, type FastifyPluginAsync, fastify } from 'fastify';
import { isLoopback } from '../config.ts';
import type { Services } from '../graphql/context.ts';
import { buildSchema } from '../graphql/schema.ts';
import type { Log } from '../log.ts';
import { createMask } from '../operations/errors.ts';
import type { OnOperation } from '../operations/hooks.ts';
import { createOperations, type Source } from '../operations/operations.ts';
import { createPersisted } from '../operations/persisted.ts';
import { createSubscriptionQuota } from '../operations/quota.ts';
import type { Rate, SharedRates } from '../rate.ts';
import { type Callers, createCallers, type FairBy, type Known, takingTurns } from './access/callers.ts';
import { addGate, rateKey } from './access/gate.ts';
import type { Identity } from './access/identity.ts';
import { createPage, wantsPage } from './graphql/graphiql.ts';
import { graphqlRoutes } from './graphql/routes.ts';
import { serveGraphQLSockets } from './graphql/sockets.ts';
import { createYogaDoor } from './graphql/yoga.ts';
import { addHeaders } from './headers.ts';
import { isOwnName } from './limits/cross-site.ts';
import { createHeldBytes } from './limits/held-bytes.ts';
import type { HttpLimits } from './limits/http-limits.ts';
import { createStreams } from './limits/lifetime.ts';
import { createRateLimiter, createSharedRateLimiter, type RateLimiter } from './limits/rate.ts';
import { createPeers, type TrustedProxies } from './peers.ts';
import { answerClientError, answerFrameworkError } from './rest/index.ts';

export interface HttpOptions {
  readonly services: Services;
  readonly identity: Identity;
  /** The REST face, told how to find out who asks. */
  readonly rest: (callers: Callers) => FastifyPluginAsync;
  readonly log: Log;
  readonly host: string;
  readonly port: number;
  readonly fairBy: FairBy;
  /** Proxies whose word on where a request comes from is believed; null: none. */
  readonly trustedProxies: TrustedProxies | null;
  /** Where callers reach us; null: the host that they asked. */
  readonly publicUrl: string | null;
  /** Largest body of a REST request, in bytes. */
  readonly maxBodyBytes: number;
  readonly limits: HttpLimits;
  /** The count of requests that all gateways keep; null: this one counts for itself. */
  readonly sharedRates: SharedRates | null;
  /** Documents that may be named by their hash. */
  readonly documents: ReadonlyMap<string, string>;
  readonly showDetails: boolean;
  /** Called for each GraphQL operation. */
  readonly onOperation: readonly OnOperation[];
}

export interface HttpServer {
  /** Where it listens, e.g. `http://127.0.0.1:8189`. */
  readonly url: string;
  /** Ends every stream and socket, then stops listening. */
  stop(): Promise<void>;
}

/** Of bodies and messages in memory, whole or not: six of the largest, or twenty pictures of 10 MiB as data URIs. */
const HELD_BYTES = 384 * 1024 * 1024;
/** How long requests under way may still take when the server stops. */
const DRAIN_MS = 3_000;
/** A connection on which nothing moves, in neither direction, is closed after this. */
const STALLED_MS = 120_000;

/** Starts to listen. Rejects when the port is taken. */
export async function startHttpServer(options: HttpOptions): Promise<HttpServer> {
  const { services, identity, limits, log } = options;
  const rate = limits.rate === null ? null : rateLimiterOf(limits.rate, options);
  const peers = createPeers(options.trustedProxies);
  const quota = createSubscriptionQuota(limits.subscriptionsPerCaller);
  const heldBytes = createHeldBytes(HELD_BYTES);
  const streams = createStreams(limits.sockets.lifetimeMs);
  const callers = createCallers(options.fairBy, peers);
  const page = limits.graphiql ? createPage() : null;
  const schema = buildSchema();
  const mask = createMask(log, options.showDetails);
  const operations = createOperations({
    schema,
    limits: limits.documents,
    persisted: createPersisted(limits.persisted, options.documents),
    quota,
    mask,
    hooks: options.onOperation,
  });
  const yoga = createYogaDoor({ operations, mask, log });
  const app = fastify({
    logger: false,
    bodyLimit: options.maxBodyBytes,
    requestTimeout: limits.requestMs,
    connectionTimeout: STALLED_MS,
    http: {
      headersTimeout: Math.min(limits.headersMs, limits.requestMs),
      // How often Node looks for requests that take too long.
      connectionsCheckingInterval: Math.min(5_000, Math.max(50, limits.headersMs / 4)),
    },
    forceCloseConnections: 'idle',
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerClientError,
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: true },
  });

  function clientOf(
    request: IncomingMessage,
    known: Known,
    signal?: AbortSignal,
  ): Pick<Source, 'context' | 'clientKey'> {
    const address = peers.addressOf(request);
    const { caller } = takingTurns(known, options.fairBy, address);
    const baseUrl = options.publicUrl ?? peers.originOf(request) ?? `http://${options.host}:${options.port}`;
    const clientKey = rateKey(caller.id, address);
    return { clientKey, context: { ...services, caller, baseUrl, signal } };
  }

  // With keys a name proves nothing that is needed, and beyond loopback any name may be ours.
  const isOurs = (name: string | undefined): boolean =>
    identity.required || !isLoopback(options.host) || isOwnName(name, options.publicUrl);

  await addHeaders(app, {
    origins: limits.origins,
    https: options.publicUrl?.startsWith('https:') === true,
  });
  addGate(app, {
    identity,
    callers,
    peers,
    rate,
    quota,
    heldBytes,
    isOurs,
    streams,
    isPage: request => page !== null && wantsPage(request),
  });
  await app.register(
    graphqlRoutes({
      operations,
      yoga,
      callers,
      page,
      streams,
      mask,
      clientOf,
    }),
  );
  await app.register(options.rest(callers));
  await app.listen({ host: options.host, port: options.port });
  const sockets = serveGraphQLSockets({
    server: app.server,
    schema,
    operations,
    identity,
    peers,
    rate,
    heldBytes,
    origins: limits.origins,
    isOurs,
    limits: limits.sockets,
    log,
    clientOf,
  });
  const url = urlOf(app, options.host);

  return {
    url,
    async stop() {
      await sockets.stop();
      const deadline = setTimeout(() => app.server.closeAllConnections(), DRAIN_MS);
      try {
        const closed = app.close();
        // What has no end of its own is not waited for.
        streams.stop();
        await Promise.all([closed, yoga.dispose()]);
      } finally {
        clearTimeout(deadline);
      }
    },
  };
}

function rateLimiterOf(rate: Rate, { sharedRates, log }: HttpOptions): RateLimiter {
  return sharedRates === null ? createRateLimiter(rate) : createSharedRateLimiter(rate, sharedRates, log);
}

function urlOf(app: FastifyInstance, host: string): string {
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const name = host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}`;
}
