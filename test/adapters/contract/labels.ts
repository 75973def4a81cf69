import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Job, JobStatus, Labels } from '../../../src/jobs/job.ts';
import { aJob } from '../../support/jobs.ts';
import { END, OPEN, type UnderTest } from './under-test.ts';

/** Finding jobs by the label and metadata of their callers. */
export function labelContract(under: () => UnderTest): void {
  const labelled = (label: string | null, metadata: Labels['metadata'] = {}, fields: Partial<Job> = {}) => {
    const { owner = null, createdAt = 1_000 } = fields;
    const request = { ...aJob().request, label, metadata };
    return under().stored({ owner, createdAt, request });
  };
  const idsOf = async (
    owner: string | null,
    label: string | null,
    metadata: Labels['metadata'] = {},
    statuses: JobStatus[] | null = null,
  ): Promise<string[]> => under().pages({ owner, statuses, labels: { label, metadata } }, 2);

  it('finds jobs by label and by metadata, newest first and page by page', async () => {
    const jobs = [];
    for (let n = 0; n < 7; n += 1) {
      const order = String(n % 2);
      jobs.push(await labelled(n < 5 ? 'summer' : null, { order, shop: 'a' }, { createdAt: 10 + (n % 3) }));
    }
    const newest = [...jobs].sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
    const where = (holds: (job: Job) => boolean): string[] => newest.filter(holds).map(job => job.id);
    expect(await idsOf(null, 'summer')).toEqual(where(job => job.request.label === 'summer'));
    expect(await idsOf(null, null, { order: '1' })).toEqual(where(job => job.request.metadata.order === '1'));
    expect(await idsOf(null, 'summer', { shop: 'a', order: '0' })).toEqual(
      where(job => job.request.label === 'summer' && job.request.metadata.order === '0'),
    );
    expect(await idsOf(null, null)).toEqual(where(() => true));
    expect(await idsOf(null, 'winter')).toEqual([]);
    expect(await idsOf(null, null, { order: '1', shop: 'b' })).toEqual([]);
  });

  it('finds by label and status together, also after the status changed', async () => {
    const [one, other] = [await labelled('x'), await labelled('x')];
    await under().commit(one, { type: 'cancelRequested', ...END });
    expect(await idsOf(null, 'x', {}, ['CANCELED'])).toEqual([one.id]);
    expect(await idsOf(null, 'x', {}, ['QUEUED', 'ERROR'])).toEqual([other.id]);
    expect(await idsOf(null, 'x', {}, [])).toEqual([]);
  });

  it('never finds the jobs of another owner by a label', async () => {
    const mine = await labelled('same', { k: 'v' }, { owner: 'a' });
    const others = await labelled('same', { k: 'v' }, { owner: 'a:b' });
    expect(await idsOf('a', 'same')).toEqual([mine.id]);
    expect(await idsOf('a:b', null, { k: 'v' })).toEqual([others.id]);
    expect(await idsOf('b', 'same', { k: 'v' })).toEqual([]);
    expect(new Set(await idsOf(null, 'same'))).toEqual(new Set([mine.id, others.id]));
  });

  it('tells a label from an entry, and a key from a value', async () => {
    const label = await labelled('k');
    const entry = await labelled(null, { k: 'v:w' });
    await labelled(null, { 'k:v': 'w' });
    expect(await idsOf(null, 'k')).toEqual([label.id]);
    expect(await idsOf(null, null, { k: 'v:w' })).toEqual([entry.id]);
    expect(await idsOf(null, null, { k: '' })).toEqual([]);
  });

  it('forgets the labels of a deleted job, and goes on after it', async () => {
    const jobs = [];
    for (let n = 0; n < 4; n += 1) jobs.push(await labelled('x', { k: 'v' }, { createdAt: 10 - n }));
    const labels = { label: 'x', metadata: { k: 'v' } };
    const query = { owner: null, statuses: null, labels, first: 2, after: null };
    const first = await under().store.ledger.list(query);
    expect(first.hasMore).toBe(true);
    const last = first.jobs.at(-1) ?? null;
    await under().store.ledger.remove(last?.id ?? '');
    const rest = await under().store.ledger.list({ ...query, after: last });
    expect(rest.jobs.map(job => job.id)).toEqual(jobs.slice(2).map(job => job.id));
    expect(rest.hasMore).toBe(false);
    for (const job of jobs) await under().store.ledger.remove(job.id);
    expect(await idsOf(null, 'x')).toEqual([]);
  });

  it('finds the one of thousands that has both of two common tags', async () => {
    const submit = (n: number) => {
      const metadata = n % 2 === 1 || n === 4 ? { k: 'odd' } : {};
      const request = { ...aJob().request, label: n % 2 === 0 ? 'even' : null, metadata };
      const job = aJob({ createdAt: 1_000 + Math.floor(n / 3), request });
      return under().store.ledger.submit(job, { ...OPEN, maxQueue: 10_000 });
    };
    for (let n = 0; n < 2_400; n += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, m) => submit(n + m)));
    }
    expect(await idsOf(null, 'even', { k: 'odd' })).toHaveLength(1);
    const even = { owner: null, statuses: null, labels: { label: 'even', metadata: {} } };
    expect(await under().pages(even, 500)).toHaveLength(1_200);
    const both = { owner: null, statuses: null, labels: { label: 'even', metadata: { k: 'odd' } } };
    const oldest = await under().store.ledger.list({ ...even, last: 1 });
    expect(oldest.jobs[0]?.createdAt).toBe(1_000);
    expect((await under().store.ledger.list({ ...both, last: 3 })).jobs).toHaveLength(1);
  });

  it('gives the same pages as a search through all jobs, for any labels', async () => {
    const text = fc.constantFrom('a', 'b', 'é "\\', '');
    const labels = fc.record({
      label: fc.option(fc.constantFrom('a', 'b')),
      metadata: fc.dictionary(fc.constantFrom('a', 'b', 'c.d'), text, { maxKeys: 3 }),
    });
    const given = fc.array(fc.record({ labels, createdAt: fc.integer({ min: 1, max: 3 }) }), {
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(given, labels, fc.integer({ min: 1, max: 4 }), async (entries, wanted, first) => {
        const jobs: Job[] = [];
        for (const { labels: own, createdAt } of entries) {
          jobs.push(await labelled(own.label, own.metadata, { createdAt }));
        }
        const found = await under().pages({ owner: null, statuses: null, labels: wanted }, first);
        const expected = jobs.filter(
          ({ request }) =>
            (wanted.label === null || wanted.label === request.label) &&
            Object.entries(wanted.metadata).every(([key, value]) => request.metadata[key] === value),
        );
        expected.sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
        for (const job of jobs) await under().store.ledger.remove(job.id);
        expect(found).toEqual(expected.map(job => job.id));
      }),
      { numRuns: 40 },
    );
  });
}
