import fc from 'fast-check';
import { expect, it } from 'vitest';
import { etaOf, hasEnded, progressOf, removedOf } from '../../../src/jobs/batches/batch.ts';
import type { Job, JobStatus } from '../../../src/jobs/job.ts';
import { workOf } from '../../../src/jobs/limits.ts';
import type { BatchSubmitResult, JobRange, SubmitOptions } from '../../../src/jobs/ports.ts';
import { aJob } from '../../support/jobs.ts';
import { claim, END, OPEN, type UnderTest } from './under-test.ts';

/** Batches: stored at once or not at all, counted from their jobs, gone with the last of them. */
export function batchContract(under: () => UnderTest): void {
  const newBatch = (total: number, fields: Parameters<typeof aJob>[0] = {}) => {
    const { owner = null, share = null, createdAt = 1_000 } = fields;
    const id = crypto.randomUUID();
    const ids = Array.from({ length: total }, () => crypto.randomUUID()).toSorted();
    const jobs = ids.map((jobId, index) =>
      aJob({ ...fields, id: jobId, owner, share, createdAt, batch: { id, index } }),
    );
    return { batch: { id, owner, createdAt, total }, jobs };
  };
  const submit = (
    made: ReturnType<typeof newBatch>,
    options: SubmitOptions = OPEN,
  ): Promise<BatchSubmitResult> => under().store.ledger.batches.submit(made.batch, made.jobs, options);
  const stored = async (total: number, fields: Parameters<typeof aJob>[0] = {}) => {
    const made = newBatch(total, fields);
    expect(await submit(made)).toEqual({ kind: 'stored' });
    return made;
  };
  const read = (id: string) => under().store.ledger.batches.read(id);
  const at = (jobs: readonly Job[], index: number): Job => {
    const job = jobs[index];
    if (job === undefined) throw new Error(`There is no job ${index}`);
    return job;
  };
  const run = async (job: Job, progress: number): Promise<Job> => {
    const held = await under().commit(job, claim('l'));
    const started = await under().commit(held, { type: 'started', at: 7 });
    const report = { stage: null, step: null, totalSteps: null, etaSeconds: null };
    return under().commit(started, { type: 'progressed', at: 8, progress, ...report });
  };

  it('stores a batch with its jobs, which are read in order, page by page and by status', async () => {
    const { batch, jobs } = await stored(5, { owner: 'a' });
    expect(await read(batch.id)).toEqual({
      ...batch,
      counts: { QUEUED: 5, PROCESSING: 0, COMPLETED: 0, ERROR: 0, CANCELED: 0 },
      reached: 0,
      startedAt: null,
    });
    await under().commit(at(jobs, 3), { type: 'cancelRequested', ...END });
    const { batches } = under().store.ledger;
    const idsOf = async (range: JobRange, statuses: readonly JobStatus[] | null = null) => {
      const page = await batches.jobs({ batch: batch.id, statuses, ...range });
      return { ids: page.jobs.map(job => jobs.findIndex(({ id }) => id === job.id)), hasMore: page.hasMore };
    };
    expect(await idsOf({ first: 2, after: at(jobs, 1) })).toEqual({ ids: [2, 3], hasMore: true });
    expect(await idsOf({ first: 3, after: at(jobs, 1) })).toEqual({ ids: [2, 3, 4], hasMore: false });
    expect(await idsOf({ last: 2, before: at(jobs, 3) })).toEqual({ ids: [1, 2], hasMore: true });
    expect(await idsOf({ first: 5, after: at(jobs, 0), before: at(jobs, 2) })).toEqual({
      ids: [1],
      hasMore: false,
    });
    expect(await idsOf({ first: 9 }, ['CANCELED', 'ERROR'])).toEqual({ ids: [3], hasMore: false });
    expect(await idsOf({ first: 9 }, [])).toEqual({ ids: [], hasMore: false });
    const [first] = (await batches.jobs({ batch: batch.id, statuses: null, first: 1 })).jobs;
    expect(first).toEqual(at(jobs, 0));
    expect(await read('unknown')).toBeNull();
    expect((await batches.jobs({ batch: 'unknown', statuses: null, first: 1 })).jobs).toEqual([]);
  });

  it('keeps a batch across a crash', async () => {
    const { batch, jobs } = await stored(3);
    under().store = await under().store.reopen();
    expect(await read(batch.id)).toMatchObject({ total: 3, counts: { QUEUED: 3 } });
    expect((await under().store.ledger.waiting(10)).map(job => job.id)).toEqual(jobs.map(job => job.id));
  });

  it('stores no job of a batch for which the queue has no room', async () => {
    await stored(3);
    const before = await under().store.ledger.count();
    const rejected = newBatch(3);
    expect(await submit(rejected, { maxQueue: 5, idempotency: null })).toEqual({
      kind: 'queue-full',
      waiting: 3,
    });
    expect(await read(rejected.batch.id)).toBeNull();
    expect(await under().store.ledger.get(at(rejected.jobs, 0).id)).toBeNull();
    expect(await under().store.ledger.count()).toEqual(before);
    expect(await submit(newBatch(2), { maxQueue: 5, idempotency: null })).toEqual({ kind: 'stored' });
  });

  it('stores no job of a batch with an id that is taken', async () => {
    const taken = await under().stored();
    const made = newBatch(3);
    const clash = { ...made, jobs: [...made.jobs.slice(0, 2), { ...at(made.jobs, 2), id: taken.id }] };
    await expect(submit(clash)).rejects.toThrow();
    expect(await read(made.batch.id)).toBeNull();
    expect(await under().store.ledger.get(at(made.jobs, 0).id)).toBeNull();
    expect(await under().store.ledger.count()).toEqual({ waiting: 1, running: 0 });
  });

  it('counts all jobs of a batch against the limits of its caller, or stores none', async () => {
    const { ledger } = under().store;
    const fields = { owner: 'a', share: 'a' };
    const work = workOf(aJob().request);
    await stored(2, fields);
    const before = await ledger.usage('a');
    expect(before).toEqual({ waiting: 2, running: 0, work: 2 * work });
    const waiting = { ...OPEN, limits: { waiting: 4, workPerDay: null } };
    expect(await submit(newBatch(3, fields), waiting)).toEqual({
      kind: 'over-limit',
      limit: 'WAITING_JOBS',
      used: 2,
    });
    const daily = { ...OPEN, limits: { waiting: null, workPerDay: 4 * work } };
    const over = { kind: 'over-limit', limit: 'MEGAPIXEL_STEPS_PER_DAY', used: 2 * work };
    expect(await submit(newBatch(3, fields), daily)).toEqual(over);
    expect(await ledger.usage('a')).toEqual(before);
    expect(
      await submit(newBatch(2, fields), { ...OPEN, limits: { waiting: 4, workPerDay: 4 * work } }),
    ).toEqual({
      kind: 'stored',
    });
    expect(await ledger.usage('a')).toEqual({ waiting: 4, running: 0, work: 4 * work });
  });

  it('returns the batch of a repeated key, and rejects one that was used for anything else', async () => {
    const { ledger } = under().store;
    const idempotency = { key: 'k', fingerprint: 'f' };
    const first = newBatch(2, { owner: 'a' });
    expect(await ledger.batches.findRepeated('a', idempotency)).toBeNull();
    expect(await submit(first, { ...OPEN, idempotency })).toEqual({ kind: 'stored' });
    const repeated = await submit(newBatch(2, { owner: 'a' }), { ...OPEN, idempotency });
    expect(repeated).toMatchObject({ kind: 'repeated', batch: { id: first.batch.id, total: 2 } });
    expect(await ledger.batches.findRepeated('a', idempotency)).toEqual(repeated);
    expect(await ledger.count()).toEqual({ waiting: 2, running: 0 });

    const conflict = { kind: 'idempotency-conflict' };
    const other = { key: 'k', fingerprint: 'g' };
    expect(await submit(newBatch(1, { owner: 'a' }), { ...OPEN, idempotency: other })).toEqual(conflict);
    expect(await ledger.submit(aJob({ owner: 'a' }), { ...OPEN, idempotency: other })).toEqual(conflict);
    expect(await ledger.findRepeated('a', idempotency)).toEqual(conflict);
    expect(await ledger.batches.findRepeated('b', idempotency)).toBeNull();

    const single = { key: 'single', fingerprint: 'f' };
    await ledger.submit(aJob({ owner: 'a' }), { ...OPEN, idempotency: single });
    expect(await submit(newBatch(1, { owner: 'a' }), { ...OPEN, idempotency: single })).toEqual(conflict);
  });

  it('counts what its jobs do, and never goes back', async () => {
    const { batch, jobs } = await stored(4);
    const seen: number[] = [];
    const state = async () => {
      const found = await read(batch.id);
      if (found === null) throw new Error('The batch is gone');
      seen.push(progressOf(found));
      return found;
    };
    expect(etaOf(await state(), 1_000)).toBeNull();
    const half = await run(at(jobs, 0), 50);
    expect(await state()).toMatchObject({ counts: { QUEUED: 3, PROCESSING: 1 }, reached: 500, startedAt: 7 });
    expect(progressOf(await state())).toBe(12.5);
    // An eighth took 10 s.
    expect(etaOf(await state(), 10_007)).toBe(70);
    const loss = { type: 'engineLost', at: 9, reason: 'away', maxAttempts: 3, expiresAt: 5_000 } as const;
    const again = await under().commit(half, loss);
    expect(again.progress).toBe(0);
    expect(await state()).toMatchObject({ counts: { QUEUED: 4, PROCESSING: 0 }, reached: 500 });
    const ran = await run({ ...again, notBefore: null }, 20);
    await state();
    await under().commit(ran, { type: 'completed', at: 9, outputs: [], expiresAt: 5_000 });
    const error = { code: 'EXECUTION_FAILED', message: 'm', node: null } as const;
    await under().commit(at(jobs, 1), { type: 'failed', error, engineReport: null, ...END });
    await under().commit(at(jobs, 2), { type: 'cancelRequested', ...END });
    const three = await state();
    expect(three).toMatchObject({ counts: { QUEUED: 1, COMPLETED: 1, ERROR: 1, CANCELED: 1 }, reached: 0 });
    expect(progressOf(three)).toBe(75);
    expect(hasEnded(three)).toBe(false);
    await under().store.ledger.remove(at(jobs, 0).id);
    expect(progressOf(await state())).toBe(75);
    expect(removedOf(await state())).toBe(1);
    await under().commit(at(jobs, 3), { type: 'cancelRequested', ...END });
    const ended = await state();
    expect(hasEnded(ended)).toBe(true);
    expect(progressOf(ended)).toBe(100);
    expect(etaOf(ended, 1_000)).toBeNull();
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  });

  it('is gone with the last of its jobs, and its key with it', async () => {
    const { ledger } = under().store;
    const idempotency = { key: 'k', fingerprint: 'f' };
    const { batch, jobs } = newBatch(2);
    await submit({ batch, jobs }, { ...OPEN, idempotency });
    await ledger.remove(at(jobs, 0).id);
    expect(await read(batch.id)).toMatchObject({ total: 2, counts: { QUEUED: 1 } });
    expect(await ledger.batches.findRepeated(null, idempotency)).toMatchObject({ kind: 'repeated' });
    await ledger.remove(at(jobs, 1).id);
    expect(await read(batch.id)).toBeNull();
    expect(await ledger.batches.findRepeated(null, idempotency)).toBeNull();
    expect(await submit(newBatch(1), { ...OPEN, idempotency })).toEqual({ kind: 'stored' });
  });

  it('queues a thousand jobs of one caller so that another’s job is next but for the first of them', async () => {
    const many = await stored(1_000, { owner: 'many', share: 'many' });
    const single = await under().stored({ owner: 'single', share: 'single', createdAt: 1_000 + 5_000 });
    const next = await under().store.ledger.waiting(3);
    expect(next.map(job => job.id)).toEqual([at(many.jobs, 0).id, single.id, at(many.jobs, 1).id]);
    expect(await under().ahead(single)).toBe(1);
    const later = await stored(2, { owner: 'many', share: 'many' });
    expect(await under().ahead(at(later.jobs, 1))).toBe(1_002);
  });

  it('keeps the order of the edits where callers do not take turns', async () => {
    const { jobs } = await stored(20);
    expect((await under().store.ledger.waiting(20)).map(job => job.id)).toEqual(jobs.map(job => job.id));
  });

  it('announces each job to those that watch all jobs of its caller', async () => {
    const { feed, ledger } = under().store;
    const seen = new Map<string, number>();
    const complete = Promise.withResolvers<void>();
    const stop = await feed.watchAll('a', {
      changed(job, number) {
        seen.set(job.id, number);
        if (seen.size === 3) complete.resolve();
      },
      removed: () => undefined,
      missed: () => undefined,
    });
    const { jobs } = await stored(3, { owner: 'a' });
    await complete.promise;
    stop();
    expect([...seen.keys()]).toEqual(jobs.map(job => job.id));
    const page = await ledger.changes({ owner: 'a', after: 0, limit: 10 });
    expect(page.changes.map(({ jobId, number }) => [jobId, number])).toEqual([...seen]);
  });

  it('counts as its jobs are, whatever happens to them', async () => {
    const event = fc.record({ index: fc.nat(4), what: fc.constantFrom('cancel', 'fail', 'run', 'remove') });
    const error = { code: 'TIMED_OUT', message: 'm', node: null } as const;
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 12 }), async events => {
        const { ledger } = under().store;
        const { batch, jobs } = await stored(5);
        for (const { index, what } of events) {
          const job = await ledger.get(at(jobs, index).id);
          if (job === null) continue;
          if (what === 'remove') await ledger.remove(job.id);
          else if (job.status !== 'QUEUED') continue;
          else if (what === 'run') await run(job, 30);
          else if (what === 'fail')
            await under().commit(job, { type: 'failed', error, engineReport: null, ...END });
          else await under().commit(job, { type: 'cancelRequested', ...END });
        }
        const left = (await ledger.getMany(jobs.map(job => job.id))).filter(job => job !== null);
        const found = await read(batch.id);
        if (found === null) {
          expect(left).toEqual([]);
          return;
        }
        for (const [status, count] of Object.entries(found.counts)) {
          expect(left.filter(job => job.status === status)).toHaveLength(count);
        }
        expect(removedOf(found)).toBe(5 - left.length);
        expect(found.reached).toBe(300 * left.filter(job => job.status === 'PROCESSING').length);
        for (const job of left) await ledger.remove(job.id);
      }),
      { numRuns: 15 },
    );
  });
}
