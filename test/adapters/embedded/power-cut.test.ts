import { appendFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EmbeddedLedger, openEmbeddedLedger } from '../../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed } from '../../../src/adapters/embedded/live.ts';
import { advance, type JobEvent } from '../../../src/jobs/advance.ts';
import { changeFrom } from '../../../src/jobs/changes.ts';
import { StoreUnavailable } from '../../../src/jobs/errors.ts';
import type { Job } from '../../../src/jobs/job.ts';
import { aJob } from '../../support/jobs.ts';
import { CUT_STEPS, type CutSteps, createDisk, type Disk } from '../../support/stores/power.ts';
import { claim, END, OPEN } from '../contract/under-test.ts';

let root: string;
let folders: number;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'power-'));
  folders = 0;
});
afterEach(() => rm(root, { recursive: true }));

function newPath(): string {
  folders += 1;
  return join(root, String(folders), 'jobs.sqlite');
}

/** What a watcher of all jobs knows, and what it was ever told. */
interface Watcher {
  /** As it was last told. */
  readonly jobs: Map<string, Job>;
  /** The number of the last change that it knows of. */
  number: number;
  /** By the id of the job and the revision. */
  readonly told: Map<string, string>;
  /** The highest revision of each job. */
  readonly revisions: Map<string, number>;
  readonly faults: string[];
}

function tell(watcher: Watcher, jobId: string, number: number, job: Job | null): void {
  if (number <= watcher.number) watcher.faults.push(`number ${number} after ${watcher.number}`);
  watcher.number = number;
  if (job === null) {
    watcher.jobs.delete(jobId);
    return;
  }
  watcher.jobs.set(jobId, job);
  const highest = watcher.revisions.get(jobId) ?? 0;
  if (job.revision <= highest) watcher.faults.push(`revision ${job.revision} after ${highest}`);
  watcher.revisions.set(jobId, Math.max(highest, job.revision));
  const revision = `${jobId} ${job.revision}`;
  const content = JSON.stringify(job);
  if ((watcher.told.get(revision) ?? content) !== content) watcher.faults.push(`two of ${revision}`);
  watcher.told.set(revision, content);
}

/** A store that ends in many ways, and a watcher that comes back each time. */
class World {
  clock = 1_000_000;
  disk: Disk = createDisk(newPath());
  readonly watcher: Watcher = {
    jobs: new Map(),
    number: 0,
    told: new Map(),
    revisions: new Map(),
    faults: [],
  };
  ledger: EmbeddedLedger = this.#open();

  #open(): EmbeddedLedger {
    const feed = createEmbeddedFeed();
    const { disk, watcher } = this;
    void feed.watchAll(null, {
      changed: (job, number) => tell(watcher, job.id, number, job),
      removed: (jobId, number) => tell(watcher, jobId, number, null),
      missed: () => watcher.faults.push('missed'),
    });
    const { path, sync, syncNow } = disk;
    return openEmbeddedLedger({ path, feed, now: () => this.clock, sync, syncNow });
  }

  /** A new process has the file; the watcher continues where it was. */
  async #comeBack(disk: Disk): Promise<void> {
    this.disk = disk;
    this.ledger = this.#open();
    const { watcher, ledger } = this;
    const page = await ledger.changes({ owner: null, after: watcher.number, limit: 1_000 });
    if (watcher.number > page.newest) watcher.faults.push(`newest ${page.newest} at ${watcher.number}`);
    for (const { jobId, number, job } of page.changes) tell(watcher, jobId, number, job);
    const stored = new Map((await this.stored()).map(job => [job.id, job]));
    if (watcher.jobs.size > 0) expect(watcher.jobs).toEqual(stored);
  }

  async end(how: Ending): Promise<void> {
    const ended = this.ledger;
    const promised = [...this.watcher.jobs.values()].sort(byId);
    if (how === 'close') await ended.close();
    const path = newPath();
    const left = how === 'close' || how === 'kill' ? this.disk.kill(path) : this.disk.cut(path, how.cut);
    if (how !== 'close') await ended.close();
    await this.#comeBack(left);
    const kept = await this.stored();
    if (how === 'close' || how === 'kill') {
      for (const job of kept) {
        const seen = promised.find(({ id }) => id === job.id);
        if (job.status !== 'PROCESSING' || seen?.status !== 'PROCESSING') continue;
        expect(job.step ?? 0).toBeGreaterThanOrEqual(seen.step ?? 0);
        expect(job.previewRevisions).toBeGreaterThanOrEqual(seen.previewRevisions);
      }
    } else {
      // Nothing is lost but steps.
      expect(kept.map(besidesSteps)).toEqual(promised.map(besidesSteps));
    }
  }

  async stored(): Promise<Job[]> {
    const { jobs } = await this.ledger.list({ owner: null, statuses: null, first: 100 });
    return jobs.toSorted(byId);
  }

  async close(): Promise<void> {
    await this.ledger.close();
  }
}

type Ending = 'kill' | 'close' | { readonly cut: CutSteps };

const byId = (a: Job, b: Job): number => (a.id < b.id ? -1 : 1);

function besidesSteps(job: Job): object {
  const { revision: _revision, progress: _progress, stage: _stage, step: _step, ...rest } = job;
  const {
    totalSteps: _total,
    etaSeconds: _eta,
    preview: _preview,
    previewRevisions: _previews,
    ...others
  } = rest;
  return others;
}

function progressed(step: number): JobEvent {
  return {
    ...{ type: 'progressed', at: 7, progress: step % 100, stage: 'SAMPLING' },
    ...{ step, totalSteps: 100, etaSeconds: null },
  };
}

/** As a run numbers its previews. */
function previewed({ revision }: Job): JobEvent {
  return {
    type: 'previewed',
    at: 7,
    preview: { sequence: revision + 1, mimeType: 'image/jpeg', width: 8, height: 8 },
  };
}

/** A job that an engine has begun, flushed. */
async function running(ledger: EmbeddedLedger): Promise<Job> {
  const job = aJob();
  const claimed = advance(job, claim('e#0'));
  const started = advance(claimed, { type: 'started', at: 6 });
  await ledger.submit(job, OPEN);
  expect(await ledger.commit(claimed, job.revision, null)).toBe('ok');
  expect(await ledger.commit(started, claimed.revision, null)).toBe('ok');
  return started;
}

async function step(ledger: EmbeddedLedger, job: Job, number: number): Promise<Job> {
  const result = await changeFrom(ledger, job, progressed(number), null);
  if (result.kind !== 'ok') throw new Error(result.kind);
  return result.job;
}

describe('steps of a run', () => {
  it('are published without a flush, and flushed with the next change', async () => {
    const world = new World();
    let job = await running(world.ledger);
    const before = world.disk.syncs;
    for (let n = 1; n <= 50; n += 1) job = await step(world.ledger, job, n);
    expect(world.watcher.jobs.get(job.id)).toEqual(job);
    expect(world.disk.syncs).toBe(before);
    await changeFrom(world.ledger, job, { type: 'listening', at: 8, live: false }, null);
    expect(world.disk.syncs).toBe(before + 1);
    await world.end({ cut: 'none' });
    expect((await world.stored())[0]).toMatchObject({ step: 50, live: false });
    await world.close();
  });

  it('survive a kill', async () => {
    const world = new World();
    const job = await step(world.ledger, await running(world.ledger), 9);
    await world.end('kill');
    expect((await world.stored())[0]).toMatchObject({ step: 9, progress: job.progress });
    await world.close();
  });

  it('survive a kill while the next is written', async () => {
    const world = new World();
    const job = await step(world.ledger, await running(world.ledger), 9);
    // Cut short after an inner object, so that it ends as a whole line does.
    const line = `${job.id} ${job.revision} {"revision":${job.revision + 1},"step":10,"preview":{"sequence":9}`;
    appendFileSync(`${world.disk.path}-steps`, line);
    await world.end('kill');
    expect((await world.stored())[0]).toMatchObject({ step: 9, progress: job.progress });
    await world.close();
  });

  it('of another database are not read', async () => {
    const world = new World();
    const job = await running(world.ledger);
    const backup = newPath();
    mkdirSync(dirname(backup));
    await world.ledger.copy(backup, () => undefined);
    await step(world.ledger, job, 9);
    const { path } = world.disk.kill(newPath());
    await world.close();
    renameSync(backup, path);
    rmSync(`${path}-wal`);
    const restored = openEmbeddedLedger({ path, feed: createEmbeddedFeed(), now: Date.now });
    expect((await restored.get(job.id))?.step).toBe(null);
    await restored.close();
    expect(existsSync(`${path}-steps`)).toBe(false);
  });

  it('are in their batch, its jobs and those of lanes without a holder', async () => {
    const world = new World();
    const { ledger } = world;
    const job = aJob({ batch: { id: 'b', index: 0 } });
    await ledger.batches.submit({ id: 'b', owner: null, createdAt: 1, total: 1 }, [job], OPEN);
    const claimed = advance(job, claim('e#0'));
    const started = advance(claimed, { type: 'started', at: 6 });
    await ledger.commit(claimed, job.revision, null);
    await ledger.commit(started, claimed.revision, null);
    const { step: last, progress } = await step(ledger, started, 40);
    const { jobs } = await ledger.batches.jobs({ batch: 'b', statuses: null, first: 1 });
    expect(jobs[0]?.step).toBe(last);
    expect((await ledger.stranded(0))[0]?.step).toBe(last);
    // In tenths of a percent.
    expect((await ledger.batches.read('b'))?.reached).toBe(progress * 10);
    await world.close();
  });

  it('are in whatever is read', async () => {
    const world = new World();
    const { ledger } = world;
    const one = await running(ledger);
    const reads = async (): Promise<unknown[]> => [
      (await ledger.get(one.id))?.step,
      (await ledger.getMany([one.id]))[0]?.step,
      (await ledger.list({ owner: null, statuses: ['PROCESSING'], first: 1 })).jobs[0]?.step,
      (await ledger.inLanes('e#'))[0]?.step,
      (await ledger.changes({ owner: null, after: 0, limit: 9 })).changes.at(-1)?.job?.step,
    ];
    await step(ledger, one, 4);
    expect(await reads()).toEqual([4, 4, 4, 4, 4]);
    await world.close();
  });

  it('are flushed once in a second, and once in a thousand', async () => {
    const world = new World();
    let job = await running(world.ledger);
    const before = world.disk.syncs;
    for (let n = 1; n <= 40; n += 1) {
      world.clock += 100;
      job = await step(world.ledger, job, n);
    }
    expect(world.disk.syncs - before).toBeGreaterThanOrEqual(3);
    expect(world.disk.syncs - before).toBeLessThanOrEqual(4);
    const then = world.disk.syncs;
    for (let n = 1; n <= 2_100; n += 1) job = await step(world.ledger, job, 40 + n);
    expect(world.disk.syncs - then).toBe(2);
    await world.end({ cut: 'none' });
    expect(world.watcher.faults).toEqual([]);
    await world.close();
  });

  it('have lower revisions than the job after a power cut that lost as many as can be lost', async () => {
    const world = new World();
    let job = await running(world.ledger);
    const before = world.disk.syncs;
    for (let n = 1; n <= 1_000; n += 1) job = await step(world.ledger, job, n);
    expect(world.disk.syncs).toBe(before);
    await world.end({ cut: 'none' });
    expect((await world.stored())[0]?.revision).toBeGreaterThan(job.revision);
    expect(world.watcher.faults).toEqual([]);
    await world.close();
  });

  it('are flushed once in a second of numbers that are on the disk, whatever numbers stay unused', async () => {
    const world = new World();
    const job = await running(world.ledger);
    world.clock += 900;
    // A stale step: what it was given as number is not in the file.
    expect(await world.ledger.commit(job, job.revision - 1, null, [], 'step')).toBe('stale');
    world.clock += 900;
    const before = world.disk.syncs;
    await step(world.ledger, job, 1);
    expect(world.disk.syncs).toBe(before + 1);
    await world.close();
  });

  it('wait for a change before them that is not flushed yet, in the order of their numbers', async () => {
    const world = new World();
    const one = await running(world.ledger);
    const told = world.watcher.number;
    const submitted = world.ledger.submit(aJob(), OPEN);
    const stepped = step(world.ledger, one, 1);
    await Promise.all([submitted, stepped]);
    expect(world.watcher.number).toBeGreaterThan(told);
    expect(world.watcher.faults).toEqual([]);
    await world.close();
  });

  it('are not published while the disk fails and they would be too far ahead of it', async () => {
    const world = new World();
    const job = await running(world.ledger);
    world.disk.fails = true;
    world.clock += 2_000;
    await expect(step(world.ledger, job, 1)).rejects.toBeInstanceOf(StoreUnavailable);
    expect(world.watcher.jobs.get(job.id)).toEqual(job);
    world.disk.fails = false;
    await world.ledger.submit(aJob(), OPEN);
    expect(world.watcher.jobs.get(job.id)).toMatchObject({ step: 1 });
    await world.close();
  });
});

/** Something that happens. `job` chooses one of those that are there. */
type Happening =
  | { readonly type: 'submit' | 'begin' }
  | { readonly type: 'steps'; readonly job: number; readonly count: number }
  | { readonly type: 'change' | 'finish' | 'remove' | 'late step'; readonly job: number }
  | { readonly type: 'tick'; readonly ms: number }
  | { readonly type: 'disk'; readonly fails: boolean }
  | { readonly type: 'end'; readonly how: Ending };

const job = fc.nat(3);
const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom<Happening>({ type: 'submit' }, { type: 'begin' }) },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('steps' as const),
      job,
      count: fc.integer({ min: 1, max: 12 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('steps' as const), job, count: fc.constant(600) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constantFrom('change' as const, 'change' as const, 'late step' as const),
      job,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constantFrom('finish' as const, 'remove' as const), job }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('tick' as const), ms: fc.integer({ min: -5_000, max: 5_000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('disk' as const), fails: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('end' as const),
      how: fc.constantFrom<Ending>('kill', 'kill', 'close', ...CUT_STEPS.map(cut => ({ cut }))),
    }),
  },
);

/** A change of a job that is none of its steps: whichever comes next in its life. */
function nextChange(job: Job): JobEvent {
  if (job.status === 'PROCESSING') return { type: 'listening', at: 8, live: job.live !== true };
  return job.lane === null ? claim(`${job.id}#0`) : { type: 'started', at: 6 };
}

async function happen(world: World, what: Happening, count: { steps: number }): Promise<void> {
  const { ledger } = world;
  const jobs = await world.stored();
  const chosen = 'job' in what ? jobs[what.job % Math.max(1, jobs.length)] : undefined;
  switch (what.type) {
    case 'submit':
      await ledger.submit(aJob(), OPEN);
      return;
    case 'begin':
      await running(ledger);
      return;
    case 'steps':
      if (chosen === undefined) return;
      for (let n = 0, at = chosen; n < what.count; n += 1) {
        count.steps += 1;
        const event = count.steps % 3 === 0 ? previewed(at) : progressed(count.steps);
        const result = await changeFrom(ledger, at, event, null);
        // Nothing of it applies to a job that another has ended meanwhile.
        if (result.kind !== 'ok' || !result.changed) return;
        at = result.job;
      }
      return;
    case 'change':
      if (chosen !== undefined) await changeFrom(ledger, chosen, nextChange(chosen), null);
      return;
    case 'finish':
      if (chosen !== undefined) await changeFrom(ledger, chosen, { type: 'canceled', ...END }, null);
      return;
    case 'late step':
      // From a revision that is not the present one.
      if (chosen?.status !== 'PROCESSING') return;
      expect(['stale', 'gone']).toContain(await ledger.commit(chosen, chosen.revision - 1, null, [], 'step'));
      return;
    case 'remove':
      if (chosen !== undefined) await ledger.remove(chosen.id);
      return;
    case 'tick':
      world.clock += what.ms;
      return;
    case 'disk':
      world.disk.fails = what.fails;
      return;
    case 'end':
      await world.end(what.how);
      return;
    default:
      return what satisfies never;
  }
}

it('lets no watcher see a revision or number again, whatever happens, however the store ends, if the power fails too', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(happening, { minLength: 1, maxLength: 3 }), { maxLength: 25 }),
      async turns => {
        const world = new World();
        const count = { steps: 0 };
        for (let n = 0; n < 2; n += 1) await running(world.ledger);
        for (const turn of turns) {
          const ends = turn.findIndex(({ type }) => type === 'end');
          // What is in one turn happens at the same time, but for an end.
          const together = ends === -1 ? turn : turn.slice(0, ends);
          const results = await Promise.allSettled(together.map(what => happen(world, what, count)));
          for (const result of results) {
            if (result.status === 'rejected' && !(result.reason instanceof StoreUnavailable))
              throw result.reason;
          }
          const end = turn[ends];
          if (end !== undefined) await happen(world, end, count);
        }
        await world.close();
        expect(world.watcher.faults).toEqual([]);
      },
    ),
    { numRuns: 100 },
  );
}, 120_000);
