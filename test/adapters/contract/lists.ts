import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Job, JobStatus } from '../../../src/jobs/job.ts';
import type { JobFilter, JobPage, JobRange } from '../../../src/jobs/ports.ts';
import { aJob } from '../../support/jobs.ts';
import { claim, END, type UnderTest } from './under-test.ts';

/** Reading many jobs at once and page by page. */
export function listContract(under: () => UnderTest): void {
  it('reads many jobs in the order of their ids, with null for a missing one', async () => {
    const [a, b] = [await under().stored(), await under().stored()];
    const found = await under().store.ledger.getMany([b.id, 'nobody', a.id]);
    expect(found.map(job => job?.id ?? null)).toEqual([b.id, null, a.id]);
  });

  it('pages through jobs newest first, by status and by owner', async () => {
    const jobs = [];
    for (let n = 0; n < 5; n += 1)
      jobs.push(await under().stored({ createdAt: 10 + n, owner: n % 2 === 0 ? 'a' : 'b' }));
    const newest = jobs.map(job => job.id).reverse();
    const query = { owner: null, statuses: null, first: 2, after: null };
    const first = await under().store.ledger.list(query);
    expect(first.jobs.map(job => job.id)).toEqual(newest.slice(0, 2));
    expect(first.hasMore).toBe(true);
    const last = first.jobs.at(-1);
    const second = await under().store.ledger.list({
      ...query,
      first: 3,
      after: last === undefined ? null : last,
    });
    expect(second.jobs.map(job => job.id)).toEqual(newest.slice(2));
    expect(second.hasMore).toBe(false);
    const mine = await under().store.ledger.list({ ...query, owner: 'b', first: 9 });
    expect(mine.jobs.map(job => job.owner)).toEqual(['b', 'b']);
    const done = await under().store.ledger.list({ ...query, statuses: ['COMPLETED'] });
    expect(done.jobs).toEqual([]);
  });

  it('pages by statuses and owner together, also after a deleted job', async () => {
    const jobs = [];
    for (let n = 0; n < 9; n += 1)
      jobs.push(await under().stored({ createdAt: 10 + (n % 3), owner: n < 6 ? 'a' : 'a:b' }));
    for (const job of jobs.filter((_, n) => n % 3 === 0)) {
      await under().commit(job, { type: 'cancelRequested', ...END });
    }
    for (const job of jobs.filter((_, n) => n % 3 === 1)) await under().commit(job, claim(`lane-${job.id}`));
    const count = async (owner: string | null, statuses: JobStatus[] | null): Promise<number> => {
      const found = await under().pages({ owner, statuses }, 1);
      expect(new Set(found).size).toBe(found.length);
      return found.length;
    };
    expect(await count(null, ['CANCELED', 'QUEUED'])).toBe(9);
    expect(await count('a', ['CANCELED', 'QUEUED', 'CANCELED'])).toBe(6);
    expect(await count('a', ['CANCELED'])).toBe(2);
    expect(await count('a:b', ['QUEUED'])).toBe(2);
    expect(await count('nobody', null)).toBe(0);
    expect(await count(null, [])).toBe(0);

    const query = { owner: 'a', statuses: null, first: 2, after: null };
    const first = await under().store.ledger.list(query);
    const last = first.jobs.at(-1);
    if (last === undefined) throw new Error('a page has jobs');
    const expected = (await under().store.ledger.list({ ...query, after: last })).jobs;
    await under().store.ledger.remove(last.id);
    expect((await under().store.ledger.list({ ...query, after: last })).jobs).toEqual(expected);
  });

  it('pages backwards, and stays where it is while jobs are submitted and deleted', async () => {
    const jobs: Job[] = [];
    for (let n = 0; n < 7; n += 1) jobs.push(await under().stored({ createdAt: 10 + Math.floor(n / 2) }));
    jobs.sort(newestFirst);
    const list = (range: JobRange) => under().store.ledger.list({ owner: null, statuses: null, ...range });
    const ids = ({ jobs: found }: JobPage): string[] => found.map(({ id }) => id);
    const all = jobs.map(({ id }) => id);

    const end = await list({ last: 3 });
    expect([ids(end), end.hasMore]).toEqual([all.slice(4), true]);
    const before = end.jobs[0];
    if (before === undefined) throw new Error('a page has jobs');
    const middle = await list({ last: 3, before });
    expect([ids(middle), middle.hasMore]).toEqual([all.slice(1, 4), true]);
    await under().stored({ createdAt: 99 });
    await under().stored({ createdAt: 1 });
    await under().store.ledger.remove(before.id);
    expect(ids(await list({ last: 3, before }))).toEqual(all.slice(1, 4));
    const newest = await list({ last: 9, before });
    expect([newest.jobs.length, newest.hasMore]).toEqual([5, false]);
    expect(await list({ last: 0, before })).toEqual({ jobs: [], hasMore: true });
  });

  it('gives the pages of a sorted list between any two positions, from either end, and its total', async () => {
    const given = fc.record({
      owner: fc.constantFrom('a', 'b', null),
      createdAt: fc.integer({ min: 1, max: 3 }),
      label: fc.constantFrom('x', null),
      canceled: fc.boolean(),
      deleted: fc.boolean(),
    });
    const query = fc.record({
      owner: fc.constantFrom('a', null),
      statuses: fc.constantFrom<JobStatus[] | null>(null, ['CANCELED'], ['QUEUED', 'CANCELED'], []),
      label: fc.constantFrom('x', null),
      after: fc.option(fc.nat(14)),
      before: fc.option(fc.nat(14)),
      size: fc.integer({ min: 0, max: 4 }),
      end: fc.constantFrom('first', 'last'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(given, { maxLength: 14 }),
        fc.array(query, { minLength: 5, maxLength: 5 }),
        async (entries, queries) => {
          const { ledger } = under().store;
          const all: Job[] = [];
          const present: Job[] = [];
          for (const { owner, createdAt, label, canceled, deleted } of entries) {
            const request = { ...aJob().request, label };
            let job = await under().stored({ owner, createdAt, request });
            if (canceled) job = await under().commit(job, { type: 'cancelRequested', ...END });
            all.push(job);
            if (deleted) await ledger.remove(job.id);
            else present.push(job);
          }
          for (const { owner, statuses, label, after, before, size, end } of queries) {
            const filter: JobFilter = { owner, statuses, labels: { label, metadata: {} } };
            const listed = present
              .filter(job => owner === null || job.owner === owner)
              .filter(job => statuses === null || statuses.includes(job.status));
            const from = after === null ? null : (all[after] ?? null);
            const to = before === null ? null : (all[before] ?? null);
            const range = listed
              .filter(job => label === null || job.request.label === label)
              .filter(job => from === null || newestFirst(from, job) < 0)
              .filter(job => to === null || newestFirst(job, to) < 0)
              .sort(newestFirst);
            const wanted = end === 'first' ? { first: size } : { last: size };
            const page = await ledger.list({ ...filter, after: from, before: to, ...wanted });
            expect(page).toEqual({
              jobs: end === 'first' ? range.slice(0, size) : range.slice(Math.max(0, range.length - size)),
              hasMore: range.length > size,
            });
            expect(await ledger.total({ owner, statuses })).toBe(listed.length);
          }
          for (const job of present) await ledger.remove(job.id);
          expect(await ledger.total({ owner: null, statuses: null })).toBe(0);
        },
      ),
      { numRuns: 40 },
    );
  });
}

function newestFirst(a: Job, b: Job): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}
