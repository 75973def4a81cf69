import { setTimeout as delay } from 'node:timers/promises';
import { createEngineOutput } from './adapters/files/folder.ts';
import { openStore } from './adapters/store.ts';
import type { Config } from './config.ts';
import { type Dispatcher, startDispatcher } from './dispatch/dispatcher.ts';
import { createPace } from './dispatch/pace.ts';
import { watchWrites } from './dispatch/store-outage.ts';
import { createWaiting } from './dispatch/waiting.ts';
import { engineSources, usesSandbox } from './gateway/engines.ts';
import { callbacksFrom, identityFrom, imageUrlsFor, startFaces } from './gateway/http.ts';
import { proxyFrom } from './gateway/proxy.ts';
import { createStops, type Stops } from './gateway/stops.ts';
import { openStores } from './gateway/store.ts';
import { wakeFrom } from './gateway/waking.ts';
import { openWorkflows } from './gateway/workflows.ts';
import type { Services } from './graphql/context.ts';
import { policiesOfKeys } from './http/access/policies.ts';
import { createReadiness } from './http/probes.ts';
import { createImageLoader } from './images/loader.ts';
import { PLAIN_IMAGE_URLS } from './jobs/image-urls.ts';
import { runningLimits, unmatchedPatterns } from './jobs/limits.ts';
import { createJobs } from './jobs/service.ts';
import { createUploads } from './jobs/uploads.ts';
import type { Log } from './log.ts';
import type { OnOperation } from './operations/hooks.ts';
import { createSystemLookup } from './outbound/vet.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { countImages, countWebhooks, reportEngines } from './telemetry/part-metrics.ts';
import { createRunMetrics } from './telemetry/run-metrics.ts';
import { startTracing } from './telemetry/start-tracing.ts';
import { VERSION } from './version.ts';
import { createPost, rejectWebhookUrl } from './webhooks/post.ts';
import { startWebhookSender } from './webhooks/sender.ts';
import { featuresOf } from './workflows/workflow.ts';

export { VERSION };

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
  const stops = createStops();
  try {
    return await start(config, log, open, onOperation, stops);
  } catch (error) {
    await stops.run();
    throw error;
  }
}

async function start(
  config: Config,
  log: Log,
  open: typeof openStore,
  onOperation: readonly OnOperation[],
  stops: Stops,
): Promise<Gateway> {
  const now = Date.now;
  const sandbox = usesSandbox(config);

  let dispatcher: Dispatcher | null = null;
  const engines = () => dispatcher?.engines() ?? [];
  const canRun = (name: string): boolean => dispatcher?.canRun(name) ?? false;
  const { workflows, reload } = await openWorkflows(config, log, stops, {
    canRun,
    onReloaded: () => dispatcher?.recheck(),
  });

  const metrics = createMetrics({ now, engines, runs: id => dispatcher?.runs(id) === true });
  stops.add(() => metrics.stop());
  const { registry } = metrics;
  const tracing = await startTracing({ url: tracesUrl(config), version: VERSION, now, log });
  stops.add(() => tracing.stop());
  const { CALLER_POLICIES: policies = new Map() } = config;
  const limitsOfRunning = runningLimits(policies.values());
  const names = [...workflows.all(), ...workflows.broken()].map(({ name }) => name);
  for (const { policy, pattern } of unmatchedPatterns(policies.values(), names)) {
    log.warn({ policy, pattern }, 'CALLER_POLICIES: a policy allows a workflow that does not exist');
  }
  const stores = await openStores(config, log, stops, {
    open,
    metrics,
    tracing,
    running: limitsOfRunning,
    now,
  });
  const { feed, previews, durations, rates, artifacts } = stores;
  const { ledger, awaySince, tryWrite } = watchWrites(stores.ledger, now);
  // Before lanes take jobs.
  await ledger.setPolicies(policiesOfKeys(config.API_KEYS, policies));
  const allow = config.FETCH_ALLOW;
  // Image fetches and webhooks share one, because it limits the use of libuv's thread pool, which they share too.
  const lookup = createSystemLookup();
  const proxy = proxyFrom(config, now, log);
  const loader = createImageLoader({
    allow,
    maxBytes: config.MAX_IMAGE_BYTES,
    maxPixels: config.MAX_IMAGE_PIXELS,
    totalTimeoutMs: config.FETCH_TIMEOUT,
    lookup,
    proxy,
  });
  stops.add(() => loader.close());
  const images = tracing.images(countImages(registry, loader));

  const pace = createPace({ durations, now, log });
  stops.add(() => pace.stop());
  const uploads = createUploads({
    artifacts,
    images,
    now,
    maxBytes: config.MAX_IMAGE_BYTES,
    ttlMs: config.UPLOAD_TTL,
    graceMs: config.REQUEST_TIMEOUT + UPLOAD_CHECK_MS,
  });
  const removeEngineFile = createEngineOutput(config.COMFYUI_OUTPUT_DIR);
  const secrets = config.WEBHOOK_SECRET;
  const publicUrl = config.PUBLIC_URL?.replace(/\/+$/, '') ?? null;
  const jobs = tracing.jobs(
    createJobs({
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
      running: limitsOfRunning,
      removeEngineFile: path =>
        removeEngineFile(path).catch(error => {
          // The folder may be mounted for reading only: the record and the gateway's own images go all the same.
          log.warn({ file: path, err: error }, 'an image stays in the output folder of ComfyUI');
        }),
      traceOf: tracing.traceOf,
    }),
  );
  const sweeper = setInterval(() => {
    jobs.sweep(SWEEP_BATCH).catch(error => log.error({ err: error }, 'could not remove old jobs'));
    uploads.sweep().catch(error => log.error({ err: error }, 'could not remove old uploads'));
  }, SWEEP_EVERY_MS);
  stops.add(() => clearInterval(sweeper));

  if (secrets !== undefined) {
    const { WEBHOOK_TIMEOUT: timeoutMs, WEBHOOK_RETRY: firstPauseMs } = config;
    const userAgent = `qwen-edit-gateway/${VERSION}`;
    const post = createPost({
      allow,
      secrets,
      publicUrl,
      timeoutMs,
      userAgent,
      now,
      lookup,
      proxy,
      traceparent: tracing.traceparent,
    });
    const { outbox } = ledger;
    const seen = tracing.post(countWebhooks(registry, post));
    const sender = startWebhookSender({ outbox, post: seen, firstPauseMs, tryMs: timeoutMs, now, log });
    stops.add(() => sender.stop());
  }

  const running = await startDispatcher({
    context: {
      ledger,
      feed,
      artifacts,
      images,
      previews,
      workflows,
      pace,
      observer: tracing.runs(createRunMetrics(registry)),
      now,
      log,
      running: limitsOfRunning,
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
    ...(await engineSources(config, log, stops, tracing.traceparent)),
    lanesPerEngine: config.LANES_PER_ENGINE,
    leaseMs: config.LEASE,
    probeMs: config.ENGINE_PROBE,
    modelPatienceMs: config.MODEL_PATIENCE,
    lastClaims: stores.lastClaims,
    queueTimeoutMs: config.QUEUE_TIMEOUT,
    wake: wakeFrom(config, registry, lookup, now),
  });
  dispatcher = running;
  reportEngines(registry, {
    engines,
    lanesPerEngine: config.LANES_PER_ENGINE,
    heldBy: metrics.jobs.heldBy,
  });
  stops.add(() => running.stop());

  const identity = await identityFrom(config, now, log);
  const imageUrls = await imageUrlsFor(identity, { config, secrets: stores.secrets, now });
  const services: Services = {
    jobs,
    previews,
    imageUrls: imageUrls ?? PLAIN_IMAGE_URLS,
    workflows,
    engines,
    waitingFor: createWaiting({
      place: jobs.place,
      engines,
      storeAwaySince: awaySince,
      requested: running.requested,
      now,
    }),
    fleet: running.changes,
  };
  const readiness = createReadiness({ pingStore: () => ledger.count(), tryWrite, engines, now, log });
  const http = await startFaces(config, log, stops, {
    services,
    identity,
    callbacks: callbacksFrom(config, lookup, log),
    imageUrls,
    artifacts,
    uploads,
    rates,
    metrics,
    readiness,
    onOperation,
    publicUrl,
    features: () => featuresOf(workflows.all(), canRun),
    sandbox,
  });
  stops.add(async () => {
    readiness.drain();
    // Runs are handed over while their watchers are still connected, so they see another gateway's progress.
    await Promise.all([running.stop(), delay(config.DRAIN_DELAY)]);
    await http.stop();
  });
  log.info({ url: http.url, engines: engines().length }, 'listening');
  return { url: http.url, sandbox, reload, stop: stops.run };
}

/** Where traces are posted (https://opentelemetry.io/docs/specs/otel/protocol/exporter/); null: there are none. */
function tracesUrl(config: Config): string | null {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: exact } = config;
  if (config.OTEL_SDK_DISABLED) return null;
  if (exact !== undefined) return exact;
  return base === undefined ? null : `${base.replace(/\/+$/, '')}/v1/traces`;
}
