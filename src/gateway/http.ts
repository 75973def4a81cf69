import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyRequest } from 'fastify';
import { type Callbacks, createCallbacks } from '../callbacks/callbacks.ts';
import { createSender } from '../callbacks/send.ts';
import type { Config } from '../config.ts';
import type { Services } from '../graphql/context.ts';
import { createEngineIdentity } from '../http/access/engine-keys.ts';
import { createIdentity, type Identity } from '../http/access/identity.ts';
import { createGraphiql } from '../http/graphql/graphiql.ts';
import { mcpRoutes } from '../http/mcp/index.ts';
import { startMetricsServer } from '../http/metrics.ts';
import { openaiRoutes } from '../http/openai/index.ts';
import { BUILD_COMMAND } from '../http/pages.ts';
import { isLoopback } from '../http/peers.ts';
import type { ReadinessCheck } from '../http/probes.ts';
import { openDocs } from '../http/rest/docs.ts';
import { restRoutes } from '../http/rest/index.ts';
import { type HttpServer, startHttpServer } from '../http/server.ts';
import { openStudio } from '../http/studio.ts';
import { httpLimits } from '../http-limits.ts';
import type { Artifacts } from '../jobs/image-stores.ts';
import { createSignedImageUrls, type SignedImageUrls } from '../jobs/image-urls.ts';
import type { Clock, Secrets } from '../jobs/ports.ts';
import type { Uploads } from '../jobs/uploads.ts';
import type { Log } from '../log.ts';
import { logOperations, type OnOperation } from '../operations/hooks.ts';
import { readPersisted, SHIPPED_DOCUMENTS } from '../operations/persisted-manifest.ts';
import type { Lookup } from '../outbound/vet.ts';
import type { SharedRates } from '../rate.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createOperationMetrics, createRequestMetrics } from '../telemetry/request-metrics.ts';
import { VERSION } from '../version.ts';
import type { Stops } from './stops.ts';

/** The built pages: beside the sources, and beside what is built from them. */
const PAGES = fileURLToPath(new URL('../../dist/pages', import.meta.url));

/** The parts that callers reach. */
export interface FaceParts {
  readonly services: Services;
  readonly identity: Identity;
  /** Null: off. The server stops them. */
  readonly callbacks: Callbacks | null;
  /** Null: image URLs are not signed. */
  readonly imageUrls: SignedImageUrls | null;
  readonly artifacts: Artifacts;
  readonly uploads: Uploads;
  readonly rates: SharedRates | null;
  readonly metrics: Metrics;
  readonly readiness: ReadinessCheck;
  readonly onOperation: readonly OnOperation[];
  /** The origin in URLs of responses; null: that of each request. */
  readonly publicUrl: string | null;
  /** What the connected engines can do now. */
  readonly features: () => string[];
  readonly sandbox: boolean;
}

/** Starts GraphQL, REST and the metrics. The caller stops the server it returns. Rejects when a port is in use. */
export async function startFaces(
  config: Config,
  log: Log,
  stops: Stops,
  parts: FaceParts,
): Promise<HttpServer> {
  const { services, identity, artifacts, uploads, metrics } = parts;
  const { HOST: host, PORT: port, METRICS_PORT: metricsPort } = config;
  if (metricsPort !== undefined) {
    const server = await startMetricsServer({ host, port: metricsPort, render: metrics.render, log });
    stops.add(() => server.stop());
    log.info({ url: server.url }, 'metrics');
  }
  if (parts.publicUrl === null && config.TRUST_PROXY === undefined && !isLoopback(host)) {
    log.info(
      {},
      'PUBLIC_URL is not set: URLs of images name the host that each request was sent to, behind a router the gateway itself',
    );
  }
  // Three images and a mask as data URIs, with their texts.
  const maxBodyBytes = 4 * (Math.ceil(config.MAX_IMAGE_BYTES * 1.4) + 65_536);
  const { studio, docs, graphiql } = await pagesFrom(config, log);
  const onOperation = [...parts.onOperation, createOperationMetrics(metrics.registry)];
  return startHttpServer({
    services,
    identity,
    engineIdentity: createEngineIdentity(config.ENGINE_KEYS),
    callbacks: parts.callbacks,
    graphiql,
    imageUrls: parts.imageUrls,
    routes: ({ callers, streams, baseUrlOf }) => {
      const shared = {
        services,
        artifacts,
        uploads,
        origins: config.CORS_ORIGINS,
        endingOf: streams.endingOf,
        callerOf: (request: Pick<FastifyRequest, 'raw'>) => callers.of(request.raw).caller,
        version: VERSION,
        maxBodyBytes,
        log,
      };
      const rest = restRoutes({
        ...shared,
        outputDir: config.COMFYUI_OUTPUT_DIR,
        features: parts.features,
        engineKind: () => (parts.sandbox ? 'sandbox' : 'comfyui'),
        keepPrivate: identity.required,
        studio,
        docs,
      });
      const openai = openaiRoutes({ ...shared, baseUrlOf, aliases: config.OPENAI_MODEL_ALIASES });
      return async app => {
        await app.register(rest);
        await app.register(openai, { prefix: '/v1' });
        await app.register(mcpRoutes({ ...shared, baseUrlOf }));
      };
    },
    log,
    host,
    port,
    fairBy: config.FAIR_BY,
    trustedProxies: config.TRUST_PROXY ?? null,
    publicUrl: parts.publicUrl,
    maxBodyBytes,
    limits: httpLimits(config),
    sharedRates: parts.rates,
    documents:
      config.PERSISTED_DOCUMENTS === 'off'
        ? new Map()
        : await readPersisted(config.PERSISTED_DOCUMENTS_FILE ?? SHIPPED_DOCUMENTS),
    showDetails: config.NODE_ENV === 'development',
    readiness: parts.readiness,
    logRequests: config.LOG_REQUESTS,
    onOperation: config.LOG_LEVEL === 'debug' ? [...onOperation, logOperations(log)] : onOperation,
    onRequest: createRequestMetrics(metrics.registry),
    renderMetrics: metricsPort === undefined ? metrics.render : null,
  });
}

/** The pages for browsers that are on. Warns about those that were not built, which the others do without. */
async function pagesFrom(config: Config, log: Log) {
  const [studio, docs] = await Promise.all([
    config.STUDIO ? openStudio(join(PAGES, 'studio')) : null,
    openDocs(join(PAGES, 'docs')),
  ]);
  if (docs === null || (studio === null && config.STUDIO)) {
    log.warn({}, `the pages for browsers are not built: ${BUILD_COMMAND} builds them`);
  }
  return { studio, docs, graphiql: config.GRAPHIQL ? createGraphiql(join(PAGES, 'graphiql')) : null };
}

/** Posts the results of routers' subscriptions to the hosts that CALLBACK_ALLOW lists; null: it is unset. */
export function callbacksFrom(config: Config, lookup: Lookup, log: Log): Callbacks | null {
  const { CALLBACK_ALLOW: allow, SOCKET_LIFETIME: lifetimeMs } = config;
  if (allow === undefined) return null;
  return createCallbacks({ sender: createSender({ allow, lookup }), lifetimeMs, log });
}

/** Identifies callers by what the config has: keys, tokens, both or neither. */
export async function identityFrom(config: Config, now: Clock, log: Log): Promise<Identity> {
  const { JWT_JWKS_URL: jwksUrl, JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = config;
  const { API_KEYS: keys, CALLER_POLICIES: policies = new Map(), JWT_POLICY_CLAIM: policyClaim } = config;
  const complete = jwksUrl !== undefined && issuer !== undefined && audience !== undefined;
  if (!complete) return createIdentity({ keys, policies, tokens: null });
  // Loaded only when it is used: jose makes a start slower.
  const { createTokens } = await import('../http/access/tokens.ts');
  const tokens = createTokens({ jwksUrl, issuer, audience, policyClaim, policies, now, log });
  return createIdentity({ keys, policies, tokens });
}

/** Signs image URLs where callers are identified; null elsewhere. */
export async function imageUrlsFor(
  identity: Identity,
  options: { readonly config: Config; readonly secrets: Secrets; readonly now: Clock },
): Promise<SignedImageUrls | null> {
  if (!identity.required) return null;
  const { config, secrets, now } = options;
  return createSignedImageUrls({
    key: await secrets.read('image-urls'),
    lifetimeMs: config.IMAGE_URL_LIFETIME,
    now,
  });
}
