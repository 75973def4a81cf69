import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { type FastifyInstance, type FastifyPluginAsync, fastify } from 'fastify';
import type { Callbacks } from '../callbacks/callbacks.ts';
import type { GraphQLContext, Services } from '../graphql/context.ts';
import { buildSchema } from '../graphql/schema.ts';
import type { SignedImageUrls } from '../jobs/image-urls.ts';
import type { Log } from '../log.ts';
import type { DocumentLimits } from '../operations/documents.ts';
import { createMask } from '../operations/errors.ts';
import type { OnOperation } from '../operations/hooks.ts';
import { createOperations, type Source } from '../operations/operations.ts';
import { createPersisted, type PersistedMode } from '../operations/persisted.ts';
import { createSubscriptionQuota } from '../operations/quota.ts';
import type { Rate, SharedRates } from '../rate.ts';
import type { OnRequest } from '../telemetry/request-metrics.ts';
import { addGate, createGate } from './access/gate.ts';
import {
  type Callers,
  clientKeyOf,
  createCallers,
  type FairBy,
  type Identity,
  type Known,
  withShare,
} from './access/identity.ts';
import type { Client } from './client.ts';
import { followConnections } from './connections.ts';
import { createDirectPath } from './direct.ts';
import { answerClientError, answerFrameworkError } from './errors.ts';
import type { GetGraphiql } from './graphql/graphiql.ts';
import { graphqlRoutes } from './graphql/routes.ts';
import type { SocketLimits } from './graphql/socket-guard.ts';
import { serveGraphQLSockets } from './graphql/sockets.ts';
import { createLazyYoga } from './graphql/yoga-loader.ts';
import { addHeaders, securityHeaders } from './headers.ts';
import { isOwnHost } from './limits/cross-site.ts';
import { createOriginCheck } from './limits/foreign-origins.ts';
import { createHeldBytes } from './limits/held-bytes.ts';
import { createStreams, type Streams } from './limits/lifetime.ts';
import { createRateLimiter, createSharedRateLimiter, type RateLimiter } from './limits/rate.ts';
import { metricsRoute, type RenderMetrics } from './metrics.ts';
import { createPeers, isLoopback, type TrustedProxies } from './peers.ts';
import { probeRoutes, type ReadinessCheck } from './probes.ts';
import { addRequestIds, createRequestReports, reportRequests, requestIdOf } from './request-log.ts';

export interface HttpOptions {
  readonly services: Services;
  readonly identity: Identity;
  /** Identifies engines that register. */
  readonly engineIdentity: Identity;
  /** Subscriptions of routers, which the server stops; null: they are off. */
  readonly callbacks: Callbacks | null;
  /** GraphiQL, for browsers; null: it is off. */
  readonly graphiql: GetGraphiql | null;
  /** Verifies signed URLs of images; null: they are not signed. */
  readonly imageUrls: Pick<SignedImageUrls, 'verify'> | null;
  /** Makes the routes outside of GraphQL. */
  readonly routes: (surroundings: RouteSurroundings) => FastifyPluginAsync;
  readonly log: Log;
  readonly host: string;
  readonly port: number;
  readonly fairBy: FairBy;
  /** Proxies whose X-Forwarded headers are trusted; null: none. */
  readonly trustedProxies: TrustedProxies | null;
  /** The origin in URLs of responses; null: that of each request. */
  readonly publicUrl: string | null;
  /** Largest body of a REST request, in bytes. */
  readonly maxBodyBytes: number;
  readonly limits: HttpLimits;
  /** The request counts that all gateways share; null: this gateway counts alone. */
  readonly sharedRates: SharedRates | null;
  /** Persisted documents by their hash. */
  readonly documents: ReadonlyMap<string, string>;
  readonly showDetails: boolean;
  readonly readiness: ReadinessCheck;
  readonly onRequest: OnRequest;
  /** Null: served elsewhere. */
  readonly renderMetrics: RenderMetrics | null;
  /** Whether each request is logged. */
  readonly logRequests: boolean;
  /** Called for each GraphQL operation. */
  readonly onOperation: readonly OnOperation[];
}

/** What routes know of their requests. */
export interface RouteSurroundings {
  readonly callers: Callers;
  /** The responses that stay open. */
  readonly streams: Streams;
  /** The URL under which the caller reached the gateway, without a trailing slash. */
  readonly baseUrlOf: (request: IncomingMessage) => string;
}

/** The limits of the HTTP server. Those of images and jobs are elsewhere. */
export interface HttpLimits {
  readonly documents: DocumentLimits;
  readonly persisted: PersistedMode;
  readonly subscriptionsPerCaller: number;
  readonly sockets: SocketLimits & {
    readonly maxSockets: number;
    readonly perSocket: number;
    readonly initMs: number;
  };
  /** Null: no limit. */
  readonly rate: Rate | null;
  readonly headersMs: number;
  readonly requestMs: number;
  /** Other origins whose pages may use the gateway. */
  readonly origins: readonly string[];
}

export interface HttpServer {
  /** Where it listens, e.g. `http://127.0.0.1:8189`. */
  readonly url: string;
  /** Ends every stream and socket, then stops listening. */
  stop(): Promise<void>;
}

/** Limit for request bodies and socket messages in memory: six of the largest, or twenty images of 10 MiB as data URIs. */
const HELD_BYTES = 384 * 1024 * 1024;
/** How long requests in flight may still take when the server stops. */
const DRAIN_MS = 3_000;
/** How long a connection stays open between two requests: longer than the 60 s of the usual proxies, which then close it. */
const IDLE_MS = 72_000;
/** Connections without traffic in either direction are closed after this time. */
const STALLED_MS = 120_000;

/** Starts to listen. Rejects if the port is in use. */
export async function startHttpServer(options: HttpOptions): Promise<HttpServer> {
  const { services, identity, limits, log } = options;
  const rate = limits.rate === null ? null : rateLimiterOf(limits.rate, options);
  const peers = createPeers(options.trustedProxies);
  const quota = createSubscriptionQuota(limits.subscriptionsPerCaller);
  const heldBytes = createHeldBytes(HELD_BYTES);
  const streams = createStreams(limits.sockets.lifetimeMs);
  const callers = createCallers(options.fairBy, peers);
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
  const yoga = createLazyYoga({ operations, callbacks: options.callbacks, mask, log });
  // Needed only where requests carry no credentials and the host name is known to be local.
  const acceptsHost = (host: string | undefined): boolean =>
    identity.required || !isLoopback(options.host) || isOwnHost(host, options.publicUrl);
  const gate = createGate({
    identity,
    engineIdentity: options.engineIdentity,
    callers,
    peers,
    rate,
    quota,
    heldBytes,
    isOwnHost: acceptsHost,
    streams,
    imageUrls: options.imageUrls,
  });
  const checkOrigin = createOriginCheck(limits.origins, options.publicUrl, log);
  const always = securityHeaders(limits.origins, options.publicUrl?.startsWith('https:') === true);
  const onFinished = createRequestReports(callers, options.onRequest, options.logRequests ? log : null);
  const direct = createDirectPath({ gate, always, checkOrigin, onFinished });
  const app = fastify({
    logger: false,
    serverFactory: listener => createHttp(limits, direct.listener(listener)),
    genReqId: requestIdOf,
    bodyLimit: options.maxBodyBytes,
    forceCloseConnections: 'idle',
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerClientError,
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: true },
  });

  const sameText = rememberText();
  const baseUrlOf = (request: IncomingMessage): string =>
    options.publicUrl ?? sameText(peers.baseUrlOf(request) ?? `http://${options.host}:${options.port}`);

  function clientOf(request: IncomingMessage, known: Known, requestId: string): Client {
    const address = peers.addressOf(request);
    const { caller } = withShare(known, options.fairBy, address);
    const { traceparent } = request.headers;
    const key = clientKeyOf(caller.id, address);
    return { key, caller, baseUrl: baseUrlOf(request), requestId, traceparent };
  }

  function contextOf(
    { caller, baseUrl, requestId, traceparent }: Client,
    signal?: AbortSignal,
  ): GraphQLContext {
    return { ...services, caller, baseUrl, signal, requestId, traceparent };
  }

  function requesterOf(
    request: IncomingMessage,
    known: Known,
    requestId: string,
    signal?: AbortSignal,
  ): Pick<Source, 'context' | 'clientKey'> {
    const client = clientOf(request, known, requestId);
    return { clientKey: client.key, context: contextOf(client, signal) };
  }

  await addHeaders(app, { always, origins: limits.origins, checkOrigin });
  addRequestIds(app);
  reportRequests(app, onFinished);
  addGate(app, gate);
  // CORS is a plugin of Fastify, and its headers depend on the request.
  if (limits.origins.length === 0) direct.addRoutes(app);
  await app.register(
    graphqlRoutes({
      operations,
      yoga,
      callers,
      page: options.graphiql,
      streams,
      mask,
      clientOf: requesterOf,
    }),
  );
  probeRoutes(app, options.readiness);
  if (options.renderMetrics !== null) metricsRoute(app, options.renderMetrics);
  await app.register(options.routes({ callers, streams, baseUrlOf }));
  const connections = followConnections(app.server);
  await app.listen({ host: options.host, port: options.port });
  const sockets = serveGraphQLSockets({
    server: app.server,
    operations,
    identity,
    peers,
    rate,
    heldBytes,
    checkOrigin,
    isOwnHost: acceptsHost,
    limits: limits.sockets,
    log,
    clientOf,
    contextOf,
  });
  const url = urlOf(app, options.host);

  return {
    url,
    async stop() {
      const deadline = setTimeout(() => app.server.closeAllConnections(), DRAIN_MS);
      try {
        // They would not end by themselves. First, because closing the server cuts responses that it takes for sent.
        await Promise.all([sockets.stop(), streams.stop(), options.callbacks?.stop()]);
        connections.closeUnused();
        await Promise.all([app.close(), yoga.dispose()]);
      } finally {
        clearTimeout(deadline);
      }
    },
  };
}

/** The server that Fastify would make: its own options for it do not apply to one with another listener. */
function createHttp({ headersMs, requestMs }: HttpLimits, listener: RequestListener): Server {
  const server = createServer(
    {
      requestTimeout: requestMs,
      headersTimeout: Math.min(headersMs, requestMs),
      // How often Node checks for requests that exceed these timeouts.
      connectionsCheckingInterval: Math.min(5_000, Math.max(50, headersMs / 4)),
      keepAliveTimeout: IDLE_MS,
    },
    listener,
  );
  return server.setTimeout(STALLED_MS);
}

/** Returns the text before if it is equal, so that the thousands that keep one share it. */
function rememberText(): (text: string) => string {
  let last = '';
  return text => {
    if (text !== last) last = text;
    return last;
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
