import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed } from '../../src/adapters/embedded/live.ts';
import { startHousekeeping } from '../../src/dispatch/housekeeping.ts';
import { createPace } from '../../src/dispatch/pace.ts';
import { holdJob } from '../../src/dispatch/run/held-job.ts';
import { changeFrom } from '../../src/jobs/changes.ts';
import { StoreUnavailable } from '../../src/jobs/errors.ts';
import type { Job } from '../../src/jobs/job.ts';
import type { Feed, Lease, Ledger } from '../../src/jobs/ports.ts';
import { startTestEngine } from '../support/comfyui/sandbox.ts';
import { startRig } from '../support/gateway.ts';
import { aJob } from '../support/jobs.ts';
import { acquireLane, asking, claimFor } from '../support/lanes.ts';
import { recordLog } from '../support/log.ts';
import { startRecordingProxy } from '../support/proxies.ts';
import { fetchJson, submit as submitTo } from '../support/requests.ts';
import { aPrefix, openStore, sharedRedis } from '../support/stores/redis.ts';

const LONG_MS = 60_000;
interface Opened {
  readonly ledger: Ledger;
  readonly feed: Feed;
  close(): Promise<void>;
}

async function openEmbedded(): Promise<Opened> {
  const folder = await mkdtemp(join(tmpdir(), 'late-changes-'));
  const feed = createEmbeddedFeed();
  const ledger = openEmbeddedLedger({ path: join(folder, 'jobs.sqlite'), feed, now: Date.now });
  return {
    ...{ ledger, feed },
    async close() {
      await ledger.close();
      await rm(folder, { recursive: true });
    },
  };
}

async function openRedis(): Promise<Opened> {
  const redis = await sharedRedis();
  const store = await openStore(redis.url, { prefix: aPrefix() });
  return {
    ...store,
    async close() {
      await store.close();
      await redis.stop();
    },
  };
}

let ledger: Ledger;
let feed: Feed;

async function submit(): Promise<Job> {
  const job = aJob({ createdAt: Date.now() - LONG_MS });
  await ledger.submit(job, { maxQueue: 10, idempotency: null });
  return job;
}

/** Takes the lane, and gives it the waiting job. */
async function claim(lane: string, ttlMs = LONG_MS): Promise<{ lease: Lease; job: Job }> {
  const taken = await acquireLane(ledger, lane, ttlMs);
  if (taken === null) throw new Error('the lane is held');
  const [claimed] = (await claimFor(ledger, [asking(taken.lease)], Date.now())).claimed;
  if (claimed === undefined) throw new Error('no job waits');
  return { lease: taken.lease, job: claimed.job };
}

const start = ({ lease, job }: { lease: Lease; job: Job }) =>
  changeFrom(ledger, job, { type: 'started', at: Date.now() }, lease);

describe.each([
  ['embedded', openEmbedded],
  ['redis', openRedis],
])('a change that comes late: %s', (_name, open) => {
  beforeEach(async () => {
    const opened = await open();
    ({ ledger, feed } = opened);
    onTestFinished(opened.close);
  });

  it('of a lane that has given the job back leaves it to the lane that has it now', async () => {
    const { id } = await submit();
    const one = await claim('a#0');
    let isLost = false;
    // The change is stored and its answer lost; another engine takes the job before the change is repeated.
    const unreliable: Ledger = {
      ...ledger,
      async commit(...args) {
        const result = await ledger.commit(...args);
        if (isLost) return result;
        isLost = true;
        await start(await claim('b#0'));
        throw new StoreUnavailable('the answer is lost', 'ETIMEDOUT');
      },
    };
    const held = holdJob(unreliable, one.job, one.lease, new AbortController().signal);
    const event = { type: 'handedBack', at: Date.now(), reason: 'a leaves', expiresAt: 1e15 } as const;
    await expect(held.apply(event)).rejects.toMatchObject({ reason: 'fenced' });
    expect(await ledger.get(id)).toMatchObject({ status: 'PROCESSING', lane: 'b#0' });
  });

  it('of the housekeeping leaves jobs alone that an engine has taken or goes on with', async () => {
    const left = await submit();
    await start(await claim('b#0', 1));
    const overdue = await submit();
    const looked = Promise.withResolvers<void>();
    const racing: Ledger = {
      ...ledger,
      async stranded(graceMs) {
        const found = await ledger.stranded(graceMs);
        // Another gateway takes the lane over meanwhile, and resumes the job.
        if (found.length > 0) await acquireLane(ledger, 'b#0', LONG_MS);
        return found;
      },
      async overdue(...args) {
        const found = await ledger.overdue(...args);
        if (found.length > 0) await start(await claim('a#0'));
        looked.resolve();
        return found;
      },
    };
    const log = recordLog();
    const pace = createPace({
      durations: { of: async () => null, all: async () => [], put: async () => undefined },
      now: Date.now,
      log,
    });
    const housekeeping = startHousekeeping({
      context: {
        ...{ ledger: racing, feed, pace, now: Date.now, log },
        ...{ running: {}, limits: { maxAttempts: 3, jobTtlMs: LONG_MS } },
      },
      ...{ strandedAfterMs: 1, queueTimeoutMs: 1_000 },
      ...{ engines: () => [], hasLoaded: () => true, requested: () => null },
    });
    await looked.promise;
    await housekeeping.stop();
    await pace.stop();
    expect(await ledger.get(left.id)).toMatchObject({ status: 'PROCESSING', lane: 'b#0' });
    expect(await ledger.get(overdue.id)).toMatchObject({ status: 'PROCESSING', lane: 'a#0', error: null });
  });
});

it('an image that arrives after its job was deleted is not kept', async () => {
  const engine = await startTestEngine({ stepMs: 0 });
  onTestFinished(() => engine.stop());
  const fetching = Promise.withResolvers<void>();
  const deleted = Promise.withResolvers<void>();
  const proxy = await startRecordingProxy(engine.url, async path => {
    if (!path.startsWith('/view')) return;
    fetching.resolve();
    await deleted.promise;
  });
  onTestFinished(proxy.stop);
  const folder = await mkdtemp(join(tmpdir(), 'late-image-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const rig = await startRig({ COMFYUI_URL: proxy.url, DATA_DIR: folder });
  onTestFinished(rig.close);
  const id = await submitTo(rig);
  await fetching.promise;
  const { body } = await fetchJson(`${rig.url}/jobs/${id}`, { method: 'DELETE' });
  expect(body).toEqual({ message: 'Job deleted' });
  deleted.resolve();
  // It waits for the run.
  await rig.close();
  expect((await readdir(folder, { recursive: true })).filter(name => name.includes(id))).toEqual([]);
});
