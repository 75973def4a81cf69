import { expect, it } from 'vitest';
import type { Job } from '../../../src/jobs/job.ts';
import { type ChangesPage, REMOVALS_KEPT_MS } from '../../../src/jobs/ports.ts';
import { type Position, updatesPosition } from '../../../src/jobs/updates/position.ts';
import {
  createUpdates,
  type JobUpdates,
  type UpdatesOptions,
  type UpdatesStream,
} from '../../../src/jobs/updates/updates.ts';
import { claim, END, type UnderTest } from './under-test.ts';

const ALL: UpdatesOptions = {
  owner: null,
  statuses: null,
  previews: false,
  maxPerSecond: null,
  since: null,
  first: 20,
};

/** All jobs of a caller: the numbers of changes, and what their watchers see. */
export function updatesContract(under: () => UnderTest): void {
  const watch = (wanted: Partial<UpdatesOptions> = {}): Promise<UpdatesStream> =>
    createUpdates(under().store.ledger, under().store.feed).watch({ ...ALL, ...wanted });
  const after = (number: number, owner: string | null = null, limit = 10): Promise<ChangesPage> =>
    under().store.ledger.changes({ owner, after: number, limit });

  it('has each job once among the changes, with its newest number, in order, and removed ones', async () => {
    const [one, two, three] = [await under().stored(), await under().stored(), await under().stored()];
    const start = await after(0);
    expect(start.changes.map(({ job }) => job)).toEqual([one, two, three]);
    expect(start.newest).toBe(start.changes.at(-1)?.number);
    const claimed = await under().commit(one, claim('e#0'));
    await under().store.ledger.remove(two.id);
    const since = await after(start.newest);
    expect(since.changes.map(({ jobId, job }) => [jobId, job])).toEqual([
      [one.id, claimed],
      [two.id, null],
    ]);
    expect(await after(start.newest, null, 1)).toMatchObject({ changes: [{ jobId: one.id }] });
    const all = await after(0);
    expect(all.changes.map(({ jobId }) => jobId)).toEqual([three.id, one.id, two.id]);
    expect((await after(all.newest)).changes).toEqual([]);
  });

  it('keeps callers apart, and gives an operator all', async () => {
    const mine = await under().stored({ owner: 'ann' });
    const other = await under().stored({ owner: 'bob' });
    await under().store.ledger.remove(other.id);
    expect((await after(0, 'ann')).changes.map(({ jobId }) => jobId)).toEqual([mine.id]);
    expect((await after(0, 'bob')).changes).toMatchObject([{ jobId: other.id, job: null }]);
    expect((await after(0)).changes.map(({ jobId }) => jobId)).toEqual([mine.id, other.id]);

    const [ann, bob, all] = await Promise.all([
      watch({ owner: 'ann' }),
      watch({ owner: 'bob' }),
      watch({ owner: null }),
    ]);
    expect(shape(await take(ann))).toEqual({ reset: true, jobs: [mine.id], removed: [] });
    expect(shape(await take(bob))).toEqual({ reset: true, jobs: [], removed: [] });
    expect(shape(await take(all))).toEqual({ reset: true, jobs: [mine.id], removed: [] });
    const later = await under().stored({ owner: 'bob' });
    expect(shape(await take(bob))).toEqual({ reset: false, jobs: [later.id], removed: [] });
    expect(shape(await take(all))).toEqual({ reset: false, jobs: [later.id], removed: [] });
    await under().store.ledger.remove(mine.id);
    expect(shape(await take(ann))).toEqual({ reset: false, jobs: [], removed: [mine.id] });
    await Promise.all([ann.return(), bob.return(), all.return()]);
  });

  it('continues the numbers and the sequence when it is opened again', async () => {
    const job = await under().stored();
    const before = await after(0);
    under().store = await under().store.reopen();
    const again = await after(before.newest);
    expect(again).toMatchObject({ sequence: before.sequence, newest: before.newest, changes: [] });
    await under().commit(job, claim('e#0'));
    expect((await after(before.newest)).changes).toMatchObject([{ jobId: job.id }]);
  });

  it('sends each change of every job, and continues after a cursor', async () => {
    const stream = await watch();
    const start = await take(stream);
    expect(shape(start)).toEqual({ reset: true, jobs: [], removed: [] });
    const job = await under().stored();
    expect((await take(stream)).jobs).toEqual([job]);
    const claimed = await under().commit(job, claim('e#0'));
    const seen = await take(stream);
    expect(seen.jobs).toEqual([claimed]);
    await stream.return();

    const started = await under().commit(claimed, { type: 'started', at: 6 });
    const other = await under().stored();
    const back = await watch({ since: positionOf(seen) });
    const missed = await take(back);
    expect(missed).toMatchObject({ reset: false, jobs: [started, other], removed: [] });
    await back.return();
    const upToDate = await watch({ since: positionOf(missed) });
    expect(shape(await take(upToDate))).toEqual({ reset: false, jobs: [], removed: [] });
    await upToDate.return();
  });

  it('begins with a reset after a cursor of another store, one that is ahead, or one that is too old', async () => {
    const job = await under().stored();
    const { newest, sequence } = await after(0);
    under().store.advanceClock(2 * REMOVALS_KEPT_MS);
    for (const since of [
      { sequence: 'another', number: newest },
      { sequence, number: newest + 1 },
      { sequence, number: 1 },
    ]) {
      const stream = await watch({ since });
      expect(await take(stream)).toMatchObject({ reset: true, jobs: [job] });
      await stream.return();
    }
  });

  it('gives a slow reader the newest state of each job that changed', async () => {
    const stream = await watch();
    await take(stream);
    const jobs = [await under().stored(), await under().stored()];
    const now = await Promise.all(
      jobs.map(async job => {
        const claimed = await under().commit(job, claim(job.id));
        return progressed(under(), await under().commit(claimed, { type: 'started', at: 6 }), 20);
      }),
    );
    const gone = await under().stored();
    await under().store.ledger.remove(gone.id);
    const got = await until(stream, ({ removed }) => removed.includes(gone.id));
    for (const job of now) expect(got.get(job.id)).toEqual(job);
    await stream.return();
  });

  it('sends a job once more when it leaves the wanted statuses', async () => {
    const job = await under().stored();
    const stream = await watch({ statuses: ['QUEUED'] });
    expect((await take(stream)).jobs).toEqual([job]);
    const claimed = await under().commit(job, claim('e#0'));
    expect((await take(stream)).jobs.at(-1)?.lane).toBe('e#0');
    const started = await under().commit(claimed, { type: 'started', at: 6 });
    const left = await take(stream);
    expect(left.jobs).toEqual([started]);
    await progressed(under(), started, 3);
    const next = await under().stored();
    expect((await take(stream)).jobs).toEqual([next]);
    await stream.return();

    const back = await watch({ statuses: ['PROCESSING'], since: positionOf(left) });
    expect((await take(back)).jobs.map(({ id }) => id)).toEqual([job.id, next.id]);
    await back.return();
  });

  it('leaves out changes of the preview alone, unless they are wanted', async () => {
    const claimed = await under().commit(await under().stored(), claim('e#0'));
    const started = await under().commit(claimed, { type: 'started', at: 6 });
    const [without, withPreviews] = [await watch(), await watch({ previews: true })];
    await Promise.all([take(without), take(withPreviews)]);
    let job = await progressed(under(), started, 1);
    expect((await take(without)).jobs).toEqual([job]);
    expect((await take(withPreviews)).jobs).toEqual([job]);
    const preview = { sequence: 1, mimeType: 'image/jpeg', width: 8, height: 8 } as const;
    job = await under().commit(job, { type: 'previewed', at: 7, preview });
    expect((await take(withPreviews)).jobs).toEqual([job]);
    job = await under().commit(job, { type: 'canceled', ...END });
    expect((await take(without)).jobs).toEqual([job]);
    await Promise.all([without.return(), withPreviews.return()]);
  });

  it('sends a job at most as often as wanted, its end at once, and a cursor that repeats what waits', async () => {
    const stream = await watch({ maxPerSecond: 0.1 });
    await take(stream);
    const slow = await under().stored();
    expect((await take(stream)).jobs).toEqual([slow]);
    const removed = await under().stored();
    expect((await take(stream)).jobs).toEqual([removed]);
    await under().store.ledger.remove(removed.id);
    expect((await take(stream)).removed).toEqual([removed.id]);
    const claimed = await under().commit(slow, claim('e#0'));
    const ended = await under().commit(await under().stored(), { type: 'canceled', ...END });
    const got = await take(stream);
    expect(got.jobs).toEqual([ended]);
    await stream.return();
    const back = await watch({ since: positionOf(got) });
    expect((await take(back)).jobs).toEqual([claimed, ended]);
    await back.return();
  });

  it('ends at once while a read waits', async () => {
    const stream = await watch();
    await take(stream);
    const parked = stream.next();
    expect(await stream.return()).toEqual({ value: undefined, done: true });
    expect(await parked).toEqual({ value: undefined, done: true });
    expect(await stream.next()).toEqual({ value: undefined, done: true });
  });
}

async function progressed(under: UnderTest, job: Job, steps: number): Promise<Job> {
  let now = job;
  for (let step = 1; step <= steps; step += 1) {
    const taken = { stage: 'SAMPLING', step, totalSteps: steps, etaSeconds: null } as const;
    now = await under.commit(now, { type: 'progressed', at: 7, progress: step, ...taken });
  }
  return now;
}

async function take(stream: UpdatesStream): Promise<JobUpdates> {
  const { value } = await stream.next();
  if (value === undefined) throw new Error('the stream has ended');
  return value;
}

/** The newest state of each job up to the first updates that satisfy the condition. */
async function until(
  stream: UpdatesStream,
  isLast: (updates: JobUpdates) => boolean,
): Promise<Map<string, Job>> {
  const newest = new Map<string, Job>();
  for (;;) {
    const updates = await take(stream);
    for (const job of updates.jobs) {
      expect(job.revision).toBeGreaterThan(newest.get(job.id)?.revision ?? 0);
      newest.set(job.id, job);
    }
    if (isLast(updates)) return newest;
  }
}

function shape({ reset, jobs, removed }: JobUpdates) {
  return { reset, jobs: jobs.map(({ id }) => id), removed };
}

function positionOf({ cursor }: JobUpdates): Position | null {
  return updatesPosition(cursor);
}
