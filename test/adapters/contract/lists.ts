import { expect, it } from 'vitest';
import type { JobStatus } from '../../../src/jobs/job.ts';
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
    expect(first.hasNextPage).toBe(true);
    const last = first.jobs.at(-1);
    const second = await under().store.ledger.list({
      ...query,
      first: 3,
      after: last === undefined ? null : last,
    });
    expect(second.jobs.map(job => job.id)).toEqual(newest.slice(2));
    expect(second.hasNextPage).toBe(false);
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
}
