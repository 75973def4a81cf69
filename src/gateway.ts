import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openArtifacts } from './adapters/artifacts.ts';
import type { AwsCredentials } from './adapters/artifacts-location.ts';
import { createEngineOutput } from './adapters/files/folder.ts';
import { openStore } from './adapters/store.ts';
import { createEngineClient } from './comfyui/client.ts';
import type { Config } from './config.ts';
import { type Dispatcher, startDispatcher } from './dispatch/dispatcher.ts';
import { createPace } from './dispatch/pace.ts';
import { createWaiting } from './dispatch/waiting.ts';
import type { Services } from './graphql/context.ts';
import { createIdentity, type Identity } from './http/access/identity.ts';
import { startMetricsServer } from './http/metrics.ts';
import { createReadiness } from './http/probes.ts';
import { restRoutes } from './http/rest/index.ts';
import { startHttpServer } from './http/server.ts';
import { httpLimits } from './http-limits.ts';
import { createImageLoader } from './images/loader.ts';
import type { Ledger } from './jobs/ports.ts';
import { createJobs } from './jobs/service.ts';
import { createUploads } from './jobs/uploads.ts';
import type { Log } from './log.ts';
import { logOperations, type OnOperation } from './operations/hooks.ts';
import { readPersisted, SHIPPED_DOCUMENTS } from './operations/persisted.ts';
import { createSystemLookup } from './outbound/vet.ts';
import { startSandbox } from './sandbox/server.ts';
import { logJobs } from './telemetry/job-log.ts';
import { createMetrics } from './telemetry/metrics.ts';
import {
  countImages,
  countWebhooks,
  reportEngines,
  reportQueue,
  timeLedger,
} from './telemetry/part-metrics.ts';
import { createOperationMetrics, createRequestMetrics } from './telemetry/request-metrics.ts';
import { VERSION } from './version.ts';
import { createPost, rejectWebhookUrl } from './webhooks/post.ts';
import { startWebhookSender } from './webhooks/sender.ts';
import { createCatalog } from './workflows/files/catalog.ts';
import { SHIPPED_WORKFLOWS } from './workflows/files/load.ts';
import { createReloader, loadAtStart } from './workflows/files/reload.ts';
import { watchFolders } from './workflows/files/watch.ts';
import { featuresOf } from './workflows/workflow.ts';

export { VERSION };

const ENGINE_ANSWER_MS = 60_000;
const CANCEL_WAIT_MS = 10_000;
/** Longer than the check of a received upload takes, plus the difference between clocks. */
const UPLOAD_CHECK_MS = 15 * 60_000;
const SWEEP_EVERY_MS = 60_000;
const SWEEP_BATCH = 200;

export interface Gateway {
  readonly url: string;
  /** True when no ComfyUI is configured and the sandbox replaces it. */
  readonly sandbox: boolean;
  /** Reloads the workflows. Never rejects: a broken workflow is logged and not offered, the others are. */
  reload(): Promise<void>;
  /** Stops accepting requests and closes everything that was opened. Runs continue on their engines. */
  stop(): Promise<void>;
}

/**
 * Builds all parts from a config and starts them. Rejects, and leaves nothing running, when a part cannot start: the
 * port or the job file is in use, or no workflow is usable. `open` opens the store, which the gateway closes;
 * `onOperation` is called for each GraphQL operation.
 */
export async function startGateway(
  config: Config,
  log: Log,
  open = openStore,
  onOperation: readonly OnOperation[] = [],
): Promise<Gateway> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of stops.splice(0).reverse()) await step();
  };
  try {
    return await start(config, log, open, onOperation, stops, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(
  config: Config,
  log: Log,
  open: typeof openStore,
  onOperation: readonly OnOperation[],
  stops: (() => Promise<void>)[],
  stop: () => Promise<void>,
): Promise<Gateway> {
  const now = Date.now;
  const data = resolve(config.DATA_DIR);
  const sandbox = config.COMFYUI_URL.length === 0;

  let dispatcher: Dispatcher | null = null;
  const engines = () => dispatcher?.engines.map(engine => engine.status()) ?? [];
  const canRun = (name: string): boolean => engines().some(engine => engine.workflows.includes(name));
  const dir = resolve(config.WORKFLOWS_DIR ?? SHIPPED_WORKFLOWS);
  const workflows = createCatalog(await loadAtStart(dir, log), config.WORKFLOW ?? null, canRun);
  const chosen = workflows.choose(config.WORKFLOW ?? null);
  // A broken default workflow is logged like any other. A name that no workflow has is a typo.
  if (!chosen.ok && !workflows.broken().some(({ name }) => name === config.WORKFLOW)) {
    throw new Error(`WORKFLOW: ${chosen.message}`);
  }
  const { reload } = createReloader({
    dir,
    catalog: workflows,
    log,
    onReloaded() {
      for (const engine of dispatcher?.engines ?? []) engine.recheck();
    },
  });
  if (config.NODE_ENV !== 'production') {
    const watching = watchFolders({
      dir,
      onChange: () => void reload(),
      onError: error => log.warn({ dir, err: error }, 'cannot watch the workflow files: SIGHUP reloads them'),
    });
    stops.push(async () => watching.stop());
  }

  const store = await open({
    redisUrl: config.REDIS_URL ?? null,
    redisCaFile: config.REDIS_CA_FILE ?? null,
    dataDir: data,
    now,
    log,
  });
  stops.push(() => store.close());
  const { feed, previews, durations, rates } = store;
  const metrics = createMetrics(now);
  stops.push(async () => metrics.stop());
  const { registry } = metrics;
  const logJob = logJobs(log);
  const ledger: Ledger = {
    ...timeLedger(registry, store.ledger),
    onChange(before, job, event) {
      logJob(before, job, event);
      metrics.jobs.onChange(before, job, event);
    },
  };
  reportQueue(registry, ledger, now);
  const bytes = await openArtifacts({
    location: config.ARTIFACTS_URL ?? { kind: 'files', root: join(data, 'artifacts') },
    signedUrls: config.DOWNLOAD_REDIRECT,
    credentials: awsCredentials(config),
    now,
    log,
  });
  stops.push(() => bytes.close());
  const { artifacts } = bytes;
  const allow = config.FETCH_ALLOW;
  // Image fetches and webhooks share one, because it limits the use of libuv's thread pool, which they share too.
  const lookup = createSystemLookup();
  const loader = createImageLoader({
    allow,
    maxBytes: config.MAX_IMAGE_BYTES,
    maxPixels: config.MAX_IMAGE_PIXELS,
    totalTimeoutMs: config.FETCH_TIMEOUT,
    lookup,
    proxy: config.FETCH_PROXY,
  });
  stops.push(() => loader.close());
  const images = countImages(registry, loader);

  const pace = createPace({ durations, now, log });
  stops.push(() => pace.stop());
  const uploads = createUploads({
    artifacts,
    images,
    now,
    maxBytes: config.MAX_IMAGE_BYTES,
    ttlMs: config.UPLOAD_TTL,
    graceMs: config.REQUEST_TIMEOUT + UPLOAD_CHECK_MS,
  });
  const secrets = config.WEBHOOK_SECRET;
  const publicUrl = config.PUBLIC_URL?.replace(/\/+$/, '') ?? null;
  const jobs = createJobs({
    uploads,
    ledger,
    feed,
    artifacts,
    previews,
    images,
    workflows,
    rejectWebhook: url =>
      secrets === undefined
        ? { field: 'webhook', message: 'is not accepted: the operator has not set WEBHOOK_SECRET' }
        : rejectWebhookUrl(url, allow),
    now,
    maxQueue: config.MAX_QUEUE,
    jobTtlMs: config.JOB_TTL,
    cancelWaitMs: CANCEL_WAIT_MS,
    secondsToRoom: () => pace.secondsToRoom(engines().filter(({ state }) => state === 'READY').length),
    removeEngineFile: createEngineOutput(config.COMFYUI_OUTPUT_DIR),
  });
  const sweeper = setInterval(() => {
    jobs.sweep(SWEEP_BATCH).catch(error => log.error({ err: error }, 'could not remove old jobs'));
    uploads.sweep().catch(error => log.error({ err: error }, 'could not remove old uploads'));
  }, SWEEP_EVERY_MS);
  stops.push(async () => clearInterval(sweeper));

  if (secrets !== undefined) {
    const { WEBHOOK_TIMEOUT: timeoutMs, WEBHOOK_RETRY: firstPauseMs } = config;
    const userAgent = `qwen-edit-gateway/${VERSION}`;
    const proxy = config.FETCH_PROXY;
    const post = createPost({ allow, secrets, publicUrl, timeoutMs, userAgent, now, lookup, proxy });
    const { outbox } = ledger;
    const counted = countWebhooks(registry, post);
    const sender = startWebhookSender({ outbox, post: counted, firstPauseMs, tryMs: timeoutMs, now, log });
    stops.push(() => sender.stop());
  }

  const urls = [...config.COMFYUI_URL];
  if (sandbox) {
    const engine = await startSandbox({ stepMs: config.SANDBOX_STEP });
    stops.push(() => engine.stop());
    log.warn({ engine: engine.url }, 'COMFYUI_URL is not set: the sandbox is used, no model is run');
    urls.push(engine.url);
  }
  const running = await startDispatcher({
    context: {
      ledger,
      feed,
      artifacts,
      previews,
      workflows,
      pace,
      now,
      log,
      limits: {
        uploadMs: config.UPLOAD_TIMEOUT,
        stallMs: config.STALL_TIMEOUT,
        runMs: config.RUN_TIMEOUT,
        stopMs: config.STOP_TIMEOUT,
        engineGraceMs: config.ENGINE_GRACE,
        watchdogMs: config.WATCHDOG,
        maxAttempts: config.MAX_ATTEMPTS,
        previewRate: config.PREVIEW_RATE,
        jobTtlMs: config.JOB_TTL,
      },
    },
    clients: urls.map(url => createEngineClient({ url, timeoutMs: ENGINE_ANSWER_MS })),
    lanesPerEngine: config.LANES_PER_ENGINE,
    leaseMs: config.LEASE,
    probeMs: config.ENGINE_PROBE,
    queueTimeoutMs: config.QUEUE_TIMEOUT,
  });
  dispatcher = running;
  reportEngines(registry, {
    engines,
    lanesPerEngine: config.LANES_PER_ENGINE,
    heldBy: metrics.jobs.heldBy,
  });
  stops.push(() => running.stop());

  const services: Services = {
    jobs,
    previews,
    workflows,
    engines,
    waitingFor: createWaiting({ ahead: jobs.ahead, engines, now }),
    async setEngineDrained(id, drained) {
      const engine = await running.drain(id, drained);
      return engine?.status() ?? null;
    },
  };
  const onOperations = [...onOperation, createOperationMetrics(registry)];
  if (config.METRICS_PORT !== undefined) {
    const { HOST: host, METRICS_PORT: port } = config;
    const server = await startMetricsServer({ host, port, render: metrics.render, log });
    stops.push(() => server.stop());
    log.info({ url: server.url }, 'metrics');
  }
  const identity = await identityFrom(config);
  const readiness = createReadiness({ pingStore: () => ledger.count(), engines, now });
  const maxBodyBytes = 3 * (Math.ceil(config.MAX_IMAGE_BYTES * 1.4) + 65_536);
  const http = await startHttpServer({
    services,
    identity,
    rest: (callers, streams) =>
      restRoutes({
        services,
        artifacts,
        uploads,
        origins: config.CORS_ORIGINS,
        outputDir: config.COMFYUI_OUTPUT_DIR,
        version: VERSION,
        features: () => featuresOf(workflows.all(), canRun),
        engineKind: () => (sandbox ? 'sandbox' : 'comfyui'),
        endingOf: streams.endingOf,
        callerOf: request => callers.of(request.raw).caller,
        keepPrivate: identity.required,
        maxBodyBytes,
        log,
      }),
    log,
    host: config.HOST,
    port: config.PORT,
    fairBy: config.FAIR_BY,
    trustedProxies: config.TRUST_PROXY ?? null,
    publicUrl,
    maxBodyBytes,
    limits: httpLimits(config),
    sharedRates: rates,
    documents:
      config.PERSISTED_DOCUMENTS === 'off'
        ? new Map()
        : await readPersisted(config.PERSISTED_DOCUMENTS_FILE ?? SHIPPED_DOCUMENTS),
    showDetails: config.NODE_ENV === 'development',
    readiness,
    logRequests: config.LOG_REQUESTS,
    onOperation: config.LOG_LEVEL === 'debug' ? [...onOperations, logOperations(log)] : onOperations,
    onRequest: createRequestMetrics(registry),
    renderMetrics: config.METRICS_PORT === undefined ? metrics.render : null,
  });
  stops.push(async () => {
    readiness.drain();
    // Runs are handed over while their watchers are still connected, so they see another gateway's progress.
    await Promise.all([running.stop(), delay(config.DRAIN_DELAY)]);
    await http.stop();
  });
  log.info({ url: http.url, engines: urls.length }, 'listening');
  return { url: http.url, sandbox, reload, stop };
}

/** Undefined lets the AWS SDK find them. */
function awsCredentials(config: Config): AwsCredentials | undefined {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = config;
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  const { AWS_SESSION_TOKEN: sessionToken } = config;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

async function identityFrom(config: Config): Promise<Identity> {
  const { JWT_JWKS_URL: jwksUrl, JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = config;
  const complete = jwksUrl !== undefined && issuer !== undefined && audience !== undefined;
  if (!complete) return createIdentity({ keys: config.API_KEYS, tokens: null });
  // Loaded only when it is used: jose makes a start slower.
  const { createTokens } = await import('./http/access/tokens.ts');
  return createIdentity({ keys: config.API_KEYS, tokens: createTokens({ jwksUrl, issuer, audience }) });
}
