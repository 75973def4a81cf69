import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import sharp from 'sharp';
import { openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed, createMemoryPreviews } from '../../src/adapters/embedded/live.ts';
import { createFileArtifacts } from '../../src/adapters/files/artifacts.ts';
import { answerClientError, answerFrameworkError } from '../../src/http/errors.ts';
import type { Page } from '../../src/http/pages.ts';
import { openDocs } from '../../src/http/rest/docs.ts';
import { restRoutes } from '../../src/http/rest/index.ts';
import { createImageLoader } from '../../src/images/loader.ts';
import type { Artifacts, Previews } from '../../src/jobs/image-stores.ts';
import { PLAIN_IMAGE_URLS } from '../../src/jobs/image-urls.ts';
import type { Caller, Job, OutputImage } from '../../src/jobs/job.ts';
import type { Ledger } from '../../src/jobs/ports.ts';
import { createJobs } from '../../src/jobs/service.ts';
import { createUploads } from '../../src/jobs/uploads.ts';
import { parseAllowList } from '../../src/outbound/allow-list.ts';
import { createCatalog } from '../../src/workflows/files/catalog.ts';
import { loadWorkflows } from '../../src/workflows/files/load.ts';
import { NO_FLEET } from './fleet.ts';
import { aJob } from './jobs.ts';
import { type LogLine, recordLog } from './log.ts';

export const OUTPUT_DIR = '/workspace/ComfyUI/output';
export const MAX_BODY_BYTES = 1024 * 1024;

/** The REST face over a real store without any engine: jobs stand as a test puts them. */
export interface Face {
  readonly url: string;
  readonly ledger: Ledger;
  readonly artifacts: Artifacts;
  readonly previews: Previews;
  readonly lines: readonly LogLine[];
  /** Every route that was registered, as `GET /jobs`. */
  readonly routes: readonly string[];
  /** Stores a job as it would be after its run. */
  keep(change: Partial<Job>, id?: string): Promise<Job>;
  stop(): Promise<void>;
}

/** Starts it on a free port. `wrap` and `wrapBytes` may replace a store by one that misbehaves; `caller` sends the requests; `docs` is the page at `/docs`. */
export async function startFace(
  options: {
    wrap?: (ledger: Ledger) => Ledger;
    wrapBytes?: (artifacts: Artifacts) => Artifacts;
    caller?: Caller;
    docs?: Page | null;
  } = {},
): Promise<Face> {
  const folder = await mkdtemp(join(tmpdir(), 'rest-face-'));
  const feed = createEmbeddedFeed();
  const stored = openEmbeddedLedger({ path: join(folder, 'jobs.sqlite'), feed, now: Date.now });
  const ledger = options.wrap?.(stored) ?? stored;
  const files = createFileArtifacts(join(folder, 'artifacts'));
  const artifacts = options.wrapBytes?.(files) ?? files;
  const previews = createMemoryPreviews();
  const images = createImageLoader({
    allow: parseAllowList('127.0.0.1'),
    maxBytes: MAX_BODY_BYTES,
    maxPixels: 1_000_000,
    totalTimeoutMs: 5_000,
  });
  const workflows = createCatalog(
    await loadWorkflows(new URL('../../workflows', import.meta.url).pathname),
    null,
    () => false,
  );
  const uploads = createUploads({
    artifacts,
    images,
    now: Date.now,
    maxBytes: MAX_BODY_BYTES,
    ttlMs: 60_000,
    graceMs: 60_000,
  });
  const jobs = createJobs({
    uploads,
    ledger,
    feed,
    artifacts,
    previews,
    images,
    workflows,
    now: Date.now,
    maxQueue: 10,
    jobTtlMs: 60_000,
    cancelWaitMs: 1_000,
    secondsToRoom: () => 10,
    removeEngineFile: async () => undefined,
  });
  const log = recordLog();
  const routes: string[] = [];
  const app = fastify({
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerClientError,
    routerOptions: { maxParamLength: 200 },
    forceCloseConnections: true,
  });
  app.addHook('onRoute', ({ method, url }) => {
    routes.push(...[method].flat().map(name => `${name} ${url}`));
  });
  await app.register(
    restRoutes({
      services: {
        jobs,
        previews,
        imageUrls: PLAIN_IMAGE_URLS,
        workflows,
        engines: () => [],
        waitingFor: async () => null,
        fleet: NO_FLEET,
      },
      artifacts,
      uploads,
      origins: [],
      outputDir: OUTPUT_DIR,
      version: '2.0.0',
      features: () => ['multi-image-support', 'nunchaku-optimization'],
      engineKind: () => 'comfyui',
      endingOf: () => new AbortController().signal,
      callerOf: () => options.caller ?? { id: null, operator: true },
      keepPrivate: false,
      studio: null,
      docs: options.docs === undefined ? await openDocs('dist/pages/docs') : options.docs,
      maxBodyBytes: MAX_BODY_BYTES,
      log,
    }),
  );
  const url = await app.listen({ host: '127.0.0.1', port: 0 });

  return {
    url,
    ledger: stored,
    artifacts,
    previews,
    lines: log.lines,
    routes,
    async keep(change, id = crypto.randomUUID()) {
      const fresh = aJob({ id, createdAt: Date.now() });
      const submitted = await stored.submit(fresh, { maxQueue: 1000, idempotency: null });
      if (submitted.kind !== 'stored') throw new Error(submitted.kind);
      const job: Job = { ...fresh, revision: 2, ...change };
      const committed = await stored.commit(job, 1, null);
      if (committed !== 'ok') throw new Error(committed);
      return job;
    },
    async stop() {
      await app.close();
      await images.close();
      await stored.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** Stores a job that has ended with pictures of these kinds. */
export async function keepCompleted(
  face: Face,
  kinds: readonly ('png' | 'jpeg' | 'webp')[] = ['png'],
): Promise<{ job: Job; pictures: Buffer[] }> {
  const id = crypto.randomUUID();
  const pictures: Buffer[] = [];
  const outputs: OutputImage[] = [];
  for (const [index, kind] of kinds.entries()) {
    const bytes = await sharp({
      create: {
        width: 64,
        height: 48,
        channels: 4,
        background: { r: 20 * index, g: 90, b: 200, alpha: 0.5 },
      },
    })
      .toFormat(kind)
      .toBuffer();
    const key = `outputs/${id}/${index + 1}.${kind}`;
    await face.artifacts.put(key, bytes);
    pictures.push(bytes);
    outputs.push({
      key,
      filename: `api_${id}_0000${index + 1}_.${kind}`,
      removed: null,
      enginePath: `QwenEdit/api_${id}_0000${index + 1}_.${kind}`,
      mimeType: `image/${kind}`,
      bytes: bytes.byteLength,
      width: 64,
      height: 48,
    });
  }
  const job = await face.keep(
    {
      status: 'COMPLETED',
      progress: 100,
      promptId: 'prompt-1',
      outputs,
      startedAt: Date.now(),
      finishedAt: Date.now(),
      expiresAt: Date.now() + 60_000,
    },
    id,
  );
  return { job, pictures };
}
