import { hash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFileArtifacts } from '../../src/adapters/files/artifacts.ts';
import { openStore } from '../../src/adapters/store.ts';
import { createEngineClient } from '../../src/comfyui/client.ts';
import { createListeners } from '../../src/concurrency/listeners.ts';
import type { DispatchContext } from '../../src/dispatch/context.ts';
import { startDispatcher } from '../../src/dispatch/dispatcher.ts';
import type { ConfiguredEngine } from '../../src/dispatch/fleet/members.ts';
import { createPace } from '../../src/dispatch/pace.ts';
import { changeFrom } from '../../src/jobs/changes.ts';
import { engineId } from '../../src/jobs/engines.ts';
import { isFinal, type Job } from '../../src/jobs/job.ts';
import { createLog } from '../../src/log.ts';
import { createCatalog } from '../../src/workflows/files/catalog.ts';
import { loadAtStart } from '../../src/workflows/files/reload.ts';
import { SHIPPED_WORKFLOWS } from '../../src/workflows/files/shipped.ts';
import { startTestEngine } from '../support/comfyui/sandbox.ts';
import { plainImage } from '../support/images.ts';
import { aJob } from '../support/jobs.ts';
import { eventually } from '../support/watch.ts';

const HOUR_MS = 3_600_000;
const UPLOAD_MS = 60_000;

/** A dispatcher with one engine, whose images the test decodes. */
async function start(decode: DispatchContext['images']['decode'], now = Date.now) {
  const log = createLog('silent');
  const dataDir = await mkdtemp(join(tmpdir(), 'decoding-'));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const engine = await startTestEngine();
  onTestFinished(() => engine.stop());
  const store = await openStore({ redisUrl: null, redisCaFile: null, dataDir, now: Date.now, log });
  onTestFinished(() => store.close());
  const workflows = createCatalog(await loadAtStart(SHIPPED_WORKFLOWS, log), null, () => true);
  const pace = createPace({ durations: store.durations, now: Date.now, log });
  onTestFinished(() => pace.stop());
  const { ledger } = store;
  const artifacts = createFileArtifacts(join(dataDir, 'artifacts'));
  let present: ConfiguredEngine[] = [
    { id: engineId(engine.url), url: engine.url, source: 'SETTING', name: null },
  ];
  const changed = createListeners<[]>();
  const dispatcher = await startDispatcher({
    context: {
      ...store,
      workflows,
      artifacts,
      images: { decode },
      pace,
      observer: { around: (_, __, work) => work(), missed: () => undefined },
      now,
      log,
      limits: {
        uploadMs: UPLOAD_MS,
        stallMs: HOUR_MS,
        runMs: HOUR_MS,
        stopMs: HOUR_MS,
        engineGraceMs: HOUR_MS,
        watchdogMs: 300,
        maxAttempts: 1,
        previewRate: 0,
        jobTtlMs: HOUR_MS,
      },
    },
    configured: { present: () => present, onChange: changed.add },
    allows: () => false,
    clientFor: url => createEngineClient({ url, timeoutMs: 10_000, traceparent: () => null }),
    lanesPerEngine: 1,
    leaseMs: 10_000,
    probeMs: 1_000,
    modelPatienceMs: 0,
    lastClaims: null,
    queueTimeoutMs: HOUR_MS,
    wake: null,
  });
  onTestFinished(() => dispatcher.stop());

  const bytes = await plainImage(64, 48).png().toBuffer();
  await artifacts.put('inputs/x/1.png', bytes);
  const [workflow] = workflows.all();
  if (workflow === undefined) throw new Error('no workflow');
  const { request } = aJob();
  const job = aJob({
    createdAt: Date.now(),
    request: {
      ...request,
      images: request.images.map(image => ({ ...image, sha256: hash('sha256', bytes) })),
      workflow: workflow.name,
      workflowVersion: workflow.version,
    },
  });
  await ledger.submit(job, { maxQueue: 1, idempotency: null });
  const stored = async (): Promise<Job> => {
    const found = await ledger.get(job.id);
    if (found === null) throw new Error('the job is gone');
    return found;
  };
  return {
    engine,
    ledger,
    stored,
    runs: async () => dispatcher.runs(job.id),
    end: () => eventually(stored, ({ status }) => isFinal(status)),
    removeEngine() {
      present = [];
      changed.call();
    },
  };
}

/** Decodes nothing: an image waits until its wait is ended. */
function waiting() {
  const asked = Promise.withResolvers<void>();
  const decode: DispatchContext['images']['decode'] = async (_, { signal } = {}) => {
    asked.resolve();
    await new Promise((_, reject) => {
      if (signal?.aborted) reject(signal.reason);
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
    return null;
  };
  return { decode, asked: asked.promise };
}

describe('a job whose image is being decoded', () => {
  it('may take longer for that than its uploads may', async () => {
    let late = 0;
    const { end, engine } = await start(
      async () => {
        late += 2 * UPLOAD_MS;
        return null;
      },
      () => Date.now() + late,
    );
    expect(await end()).toMatchObject({ status: 'COMPLETED', error: null });
    expect((await engine.stats()).uploads).toBe(1);
  });

  it('is canceled at once while the image waits', async () => {
    const { decode, asked } = waiting();
    const { ledger, stored, end, engine } = await start(decode);
    await asked;
    const canceling = { type: 'cancelRequested', at: Date.now(), expiresAt: Date.now() + HOUR_MS } as const;
    await changeFrom(ledger, await stored(), canceling, null);
    expect(await end()).toMatchObject({ status: 'CANCELED' });
    expect((await engine.stats()).uploads).toBe(0);
  });

  it('goes back to the queue at once when its engine leaves while the image waits', async () => {
    const { decode, asked } = waiting();
    const { stored, removeEngine } = await start(decode);
    await asked;
    expect((await stored()).lane).not.toBeNull();
    removeEngine();
    expect(await eventually(stored, ({ lane }) => lane === null)).toMatchObject({ status: 'QUEUED' });
  });

  it('leaves its lane at once when the job is deleted while the image waits', async () => {
    const { decode, asked } = waiting();
    const { ledger, stored, runs } = await start(decode);
    await asked;
    const { id } = await stored();
    expect(await runs()).toBe(true);
    await ledger.remove(id);
    await eventually(runs, running => !running);
  });
});
