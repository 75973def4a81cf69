import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { advance, type JobEvent } from '../../src/jobs/advance.ts';
import { jobError } from '../../src/jobs/errors.ts';
import type { Job, JobStatus } from '../../src/jobs/job.ts';
import type { Feed, JobQuery, Ledger, SubmitOptions } from '../../src/jobs/ports.ts';
import { watchJob } from '../../src/jobs/watch.ts';
import { aJob } from '../support/jobs.ts';

/** What the suite needs of an adapter: the same store can be opened again after a close or a crash. */
export interface LedgerUnderTest {
  readonly ledger: Ledger;
  readonly feed: Feed;
  /** Moves the store's clock. */
  advanceClock(ms: number): void;
  reopen(): Promise<LedgerUnderTest>;
  dispose(): Promise<void>;
}

const OPEN: SubmitOptions = { maxQueue: 1_000, idempotency: null };
const claim = (lane: string): JobEvent => ({ type: 'claimed', at: 5, lane, engine: 'e', promptId: 'p' });
const END = { at: 9, expiresAt: 5_000 };

/** The promises of the Ledger port, test by test, for every adapter. */
export function ledgerContract(name: string, open: () => Promise<LedgerUnderTest>): void {
  describe(`ledger: ${name}`, () => {
    let store: LedgerUnderTest;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.dispose());

    async function stored(fields: Parameters<typeof aJob>[0] = {}): Promise<Job> {
      const job = aJob(fields);
      expect(await store.ledger.submit(job, OPEN)).toEqual({ kind: 'stored' });
      return job;
    }

    async function commit(job: Job, event: JobEvent): Promise<Job> {
      const next = advance(job, event);
      expect(await store.ledger.commit(next, job.revision, null)).toBe('ok');
      return next;
    }

    /** The ids of every page, one after another. */
    async function pages(query: Pick<JobQuery, 'owner' | 'statuses'>, first: number): Promise<string[]> {
      const ids: string[] = [];
      let after: Job | null = null;
      for (;;) {
        const page = await store.ledger.list({ ...query, first, after });
        ids.push(...page.jobs.map(job => job.id));
        after = page.jobs.at(-1) ?? null;
        if (!page.hasNextPage || after === null) return ids;
      }
    }

    it('gives back what was submitted, to the letter, also after it was opened again', async () => {
      const job = await stored();
      expect(await store.ledger.get(job.id)).toEqual(job);
      store = await store.reopen();
      expect(await store.ledger.get(job.id)).toEqual(job);
      expect(await store.ledger.get('no-such-job')).toBeNull();
    });

    it('keeps every value to the letter: empty lists, fractions, long numbers, any text', async () => {
      const text = 'Überschrift\r\n"quoted" \\ \u0000 \ud800 \u2028 🌲 {"gone":true}';
      const base = aJob().request;
      const job = await stored({
        owner: 'ü:1',
        request: {
          ...base,
          images: [],
          prompt: text,
          negativePrompt: '',
          megapixels: 0.1 + 0.2,
          parameters: { none: [], empty: {}, nothing: null, deep: [[1.5, { a: [] }]], large: 2 ** 53 - 1 },
        },
      });
      const claimed = await commit(job, claim('e#0'));
      const failed = await commit(claimed, {
        type: 'failed',
        ...END,
        error: jobError('EXECUTION_FAILED', text),
        engineReport: text,
      });
      expect(await store.ledger.get(job.id)).toEqual(failed);
      expect(await store.ledger.getMany([job.id])).toEqual([failed]);
    });

    it('reads many at once in the order asked, null where there is none', async () => {
      const [a, b] = [await stored(), await stored()];
      const found = await store.ledger.getMany([b.id, 'nobody', a.id]);
      expect(found.map(job => job?.id ?? null)).toEqual([b.id, null, a.id]);
    });

    it('orders the queue by priority, then by time, and keeps a lost job at its old place', async () => {
      const low = await stored({ priority: 'LOW', createdAt: 1 });
      const late = await stored({ createdAt: 3 });
      const early = await stored({ createdAt: 2 });
      const high = await stored({ priority: 'HIGH', createdAt: 4 });
      const order = async (): Promise<string[]> => (await store.ledger.waiting(10)).map(job => job.id);
      expect(await order()).toEqual([high.id, early.id, late.id, low.id]);
      expect(await store.ledger.ahead(late)).toBe(2);

      const taken = await commit(early, claim('e#0'));
      expect(await order()).toEqual([high.id, late.id, low.id]);
      expect(await store.ledger.ahead(taken)).toBeNull();
      expect(await store.ledger.count()).toEqual({ waiting: 3, running: 1 });
      await commit(taken, { type: 'engineLost', at: 6, reason: 'gone', maxAttempts: 3, expiresAt: 9 });
      expect(await order()).toEqual([high.id, early.id, late.id, low.id]);
    });

    it('orders jobs of the same moment by their ids, in the queue and in lists', async () => {
      const ids = ['b', 'a-10', 'a-9', 'B', 'a'];
      const jobs = [];
      for (const id of ids) jobs.push(await stored({ id, createdAt: 7 }));
      const inOrder = ['B', 'a', 'a-10', 'a-9', 'b'];
      expect((await store.ledger.waiting(10)).map(job => job.id)).toEqual(inOrder);
      expect((await store.ledger.waiting(2)).map(job => job.id)).toEqual(inOrder.slice(0, 2));
      for (const job of jobs) expect(await store.ledger.ahead(job)).toBe(inOrder.indexOf(job.id));
      expect(await pages({ owner: null, statuses: null }, 2)).toEqual(inOrder.reverse());
    });

    it('starves no priority, and lets callers take turns', async () => {
      const minute = 60_000;
      const low = await stored({ priority: 'LOW', createdAt: minute });
      const high = await stored({ priority: 'HIGH', createdAt: 22 * minute });
      expect((await store.ledger.waiting(2)).map(job => job.id)).toEqual([low.id, high.id]);
      await store.ledger.remove(low.id);
      await store.ledger.remove(high.id);

      const greedy = [];
      for (let n = 0; n < 4; n += 1) greedy.push(await stored({ owner: 'greedy', createdAt: 1_000 + n }));
      const modest = [
        await stored({ owner: 'modest', createdAt: 2_000 }),
        await stored({ owner: 'modest', createdAt: 2_001 }),
      ];
      const order = (await store.ledger.waiting(10)).map(job => job.owner);
      expect(order).toEqual(['greedy', 'modest', 'greedy', 'modest', 'greedy', 'greedy']);
      expect(await store.ledger.ahead(modest[0] ?? greedy[0] ?? low)).toBe(1);
    });

    it('refuses a commit from a revision that is no longer the present one, and changes nothing', async () => {
      const job = await stored();
      const claimed = await commit(job, claim('e#0'));
      const rival = advance(job, claim('f#0'));
      expect(await store.ledger.commit(rival, job.revision, null)).toBe('stale');
      expect(await store.ledger.get(job.id)).toEqual(claimed);
    });

    it('lets one of many rivals claim a job', async () => {
      const job = await stored();
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          store.ledger.commit(advance(job, claim(`e#${n}`)), job.revision, null),
        ),
      );
      expect(results.filter(result => result === 'ok')).toHaveLength(1);
      expect(results.filter(result => result === 'stale')).toHaveLength(19);
    });

    it('says that a deleted job is gone', async () => {
      const job = await stored();
      expect(await store.ledger.remove(job.id)).toBe(true);
      expect(await store.ledger.remove(job.id)).toBe(false);
      expect(await store.ledger.commit(advance(job, claim('e#0')), job.revision, null)).toBe('gone');
      expect(await store.ledger.waiting(5)).toEqual([]);
    });

    it('bounds the queue', async () => {
      await stored();
      const result = await store.ledger.submit(aJob(), { ...OPEN, maxQueue: 1 });
      expect(result).toEqual({ kind: 'queue-full', waiting: 1 });
    });

    it('answers a repeated key with the first job, and refuses the key for another input', async () => {
      const same = { key: 'k', fingerprint: 'f' };
      const job = aJob();
      expect(await store.ledger.findRepeated(null, same)).toBeNull();
      await store.ledger.submit(job, { ...OPEN, idempotency: same });
      expect(await store.ledger.submit(aJob(), { ...OPEN, idempotency: same })).toEqual({
        kind: 'repeated',
        job,
      });
      expect(await store.ledger.findRepeated(null, same)).toEqual({ kind: 'repeated', job });
      const other = { key: 'k', fingerprint: 'g' };
      expect(await store.ledger.submit(aJob(), { ...OPEN, idempotency: other })).toEqual({
        kind: 'idempotency-conflict',
      });
      // Another caller's key is another key; and a deleted job frees its key.
      expect(await store.ledger.submit(aJob({ owner: 'b' }), { ...OPEN, idempotency: other })).toEqual({
        kind: 'stored',
      });
      await store.ledger.remove(job.id);
      expect(await store.ledger.submit(aJob(), { ...OPEN, idempotency: other })).toEqual({ kind: 'stored' });
    });

    it('stores one job of many that come at once with the same key', async () => {
      const idempotency = { key: 'k', fingerprint: 'f' };
      const results = await Promise.all(
        Array.from({ length: 20 }, () => store.ledger.submit(aJob(), { ...OPEN, idempotency })),
      );
      expect(results.filter(result => result.kind === 'stored')).toHaveLength(1);
      expect(results.filter(result => result.kind === 'repeated')).toHaveLength(19);
    });

    it('pages through jobs newest first, by status and by owner', async () => {
      const jobs = [];
      for (let n = 0; n < 5; n += 1)
        jobs.push(await stored({ createdAt: 10 + n, owner: n % 2 === 0 ? 'a' : 'b' }));
      const newest = jobs.map(job => job.id).reverse();
      const query = { owner: null, statuses: null, first: 2, after: null };
      const first = await store.ledger.list(query);
      expect(first.jobs.map(job => job.id)).toEqual(newest.slice(0, 2));
      expect(first.hasNextPage).toBe(true);
      const last = first.jobs.at(-1);
      const second = await store.ledger.list({ ...query, first: 3, after: last === undefined ? null : last });
      expect(second.jobs.map(job => job.id)).toEqual(newest.slice(2));
      expect(second.hasNextPage).toBe(false);
      const mine = await store.ledger.list({ ...query, owner: 'b', first: 9 });
      expect(mine.jobs.map(job => job.owner)).toEqual(['b', 'b']);
      const done = await store.ledger.list({ ...query, statuses: ['COMPLETED'] });
      expect(done.jobs).toEqual([]);
    });

    it('pages by several statuses and an owner at once, also after a job that is no longer there', async () => {
      const jobs = [];
      for (let n = 0; n < 9; n += 1)
        jobs.push(await stored({ createdAt: 10 + (n % 3), owner: n < 6 ? 'a' : 'a:b' }));
      for (const job of jobs.filter((_, n) => n % 3 === 0)) {
        await commit(job, { type: 'cancelRequested', ...END });
      }
      for (const job of jobs.filter((_, n) => n % 3 === 1)) await commit(job, claim(`lane-${job.id}`));
      const count = async (owner: string | null, statuses: JobStatus[] | null): Promise<number> => {
        const found = await pages({ owner, statuses }, 1);
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
      const first = await store.ledger.list(query);
      const last = first.jobs.at(-1);
      if (last === undefined) throw new Error('a page has jobs');
      const expected = (await store.ledger.list({ ...query, after: last })).jobs;
      await store.ledger.remove(last.id);
      expect((await store.ledger.list({ ...query, after: last })).jobs).toEqual(expected);
    });

    it('tells callers and their keys apart whatever they are made of', async () => {
      const [one, other] = [aJob({ owner: 'a' }), aJob({ owner: 'a:b' })];
      await store.ledger.submit(one, { ...OPEN, idempotency: { key: 'b:c', fingerprint: 'f' } });
      const second = await store.ledger.submit(other, {
        ...OPEN,
        idempotency: { key: 'c', fingerprint: 'g' },
      });
      expect(second).toEqual({ kind: 'stored' });
      expect(await store.ledger.findRepeated('a', { key: 'b:c', fingerprint: 'f' })).toMatchObject({
        job: { id: one.id },
      });
    });

    it('forgets a job in a lane that was deleted', async () => {
      const job = await commit(await stored({ owner: 'a' }), claim('e#0'));
      expect(await store.ledger.count()).toEqual({ waiting: 0, running: 1 });
      expect(await store.ledger.remove(job.id)).toBe(true);
      expect(await store.ledger.count()).toEqual({ waiting: 0, running: 0 });
      expect((await store.ledger.acquireLane('e#0', 1_000))?.job).toBeNull();
      expect(await store.ledger.stranded(0)).toEqual([]);
      expect(await pages({ owner: 'a', statuses: null }, 5)).toEqual([]);
    });

    it('lets no former holder give a lane away, and refuses a lease of a lane that was never taken', async () => {
      const first = await store.ledger.acquireLane('e#0', 1_000);
      store.advanceClock(1_001);
      const second = await store.ledger.acquireLane('e#0', 1_000);
      if (first === null || second === null) throw new Error('the lane was free');
      expect(second.lease.token).toBeGreaterThan(first.lease.token);
      await store.ledger.releaseLane(first.lease);
      expect(await store.ledger.acquireLane('e#0', 1_000)).toBeNull();
      const job = await stored();
      const lease = { lane: 'never', token: 1 };
      expect(await store.ledger.commit(advance(job, claim('never')), job.revision, lease)).toBe('fenced');
      expect(await store.ledger.renewLane(lease, 1_000)).toBe(false);
    });

    it('gives a lane to one holder, and to the next when the lease is over, with the job that was left', async () => {
      const first = await store.ledger.acquireLane('e#0', 1_000);
      if (first === null) throw new Error('the lane was free');
      expect(first.job).toBeNull();
      expect(await store.ledger.acquireLane('e#0', 1_000)).toBeNull();
      const job = await stored();
      const claimed = advance(job, claim('e#0'));
      expect(await store.ledger.commit(claimed, job.revision, first.lease)).toBe('ok');
      expect(await store.ledger.renewLane(first.lease, 1_000)).toBe(true);

      store.advanceClock(1_001);
      const second = await store.ledger.acquireLane('e#0', 1_000);
      expect(second?.job).toEqual(claimed);
      // The stale holder can neither renew nor write.
      expect(await store.ledger.renewLane(first.lease, 1_000)).toBe(false);
      const late = advance(claimed, { type: 'started', at: 7 });
      expect(await store.ledger.commit(late, claimed.revision, first.lease)).toBe('fenced');
      expect(await store.ledger.get(job.id)).toEqual(claimed);
      expect(await store.ledger.commit(late, claimed.revision, second?.lease ?? null)).toBe('ok');
    });

    it('frees a lane that was released', async () => {
      const first = await store.ledger.acquireLane('e#0', 60_000);
      if (first !== null) await store.ledger.releaseLane(first.lease);
      expect(await store.ledger.acquireLane('e#0', 60_000)).not.toBeNull();
    });

    it('finds jobs whose lane nobody holds any more', async () => {
      const held = await store.ledger.acquireLane('e#0', 10_000);
      const job = await stored();
      const claimed = advance(job, claim('e#0'));
      await store.ledger.commit(claimed, job.revision, held?.lease ?? null);
      expect(await store.ledger.stranded(500)).toEqual([]);
      store.advanceClock(10_400);
      expect(await store.ledger.stranded(500)).toEqual([]);
      store.advanceClock(200);
      expect(await store.ledger.stranded(500)).toEqual([claimed]);
    });

    it('finds jobs that wait too long, oldest first, and no others', async () => {
      const young = await stored({ createdAt: 30 });
      const old = await stored({ createdAt: 10, priority: 'LOW' });
      const older = await stored({ createdAt: 5 });
      const running = await commit(await stored({ createdAt: 1 }), claim('e#0'));
      const ids = async (before: number): Promise<string[]> =>
        (await store.ledger.overdue(before, 10)).map(job => job.id);
      expect(await ids(30)).toEqual([older.id, old.id]);
      expect(await ids(31)).toEqual([older.id, old.id, young.id]);
      expect(running.lane).toBe('e#0');
    });

    it('finds finished jobs whose time is over', async () => {
      const job = await stored();
      const ended = await commit(job, { type: 'cancelRequested', ...END });
      expect(await store.ledger.expired(4_999, 10)).toEqual([]);
      expect(await store.ledger.expired(5_000, 10)).toEqual([ended]);
    });

    it('calls those who wait for work, at a submit and when a job comes back', async () => {
      const call = (): { heard: Promise<void>; stop: () => void } => {
        let stop = (): void => {};
        const heard = new Promise<void>(resolve => {
          stop = store.ledger.onWaiting(resolve);
        });
        return { heard, stop };
      };
      const first = call();
      const job = await stored();
      await first.heard;
      first.stop();
      const claimed = await commit(job, claim('e#0'));
      const second = call();
      await commit(claimed, { type: 'handedBack', at: 6, reason: 'down', expiresAt: 9 });
      await second.heard;
      second.stop();
    });

    it('shows a watcher the present snapshot, newer ones, the final one, and the end', async () => {
      const job = await stored();
      const stream = await watchJob(store.ledger, store.feed, job.id);
      if (stream === null) throw new Error('the job is there');
      expect((await stream.next()).value).toEqual(job);
      const claimed = await commit(job, claim('e#0'));
      expect((await stream.next()).value).toEqual(claimed);
      const ended = await commit(claimed, { type: 'canceled', ...END });
      expect((await stream.next()).value).toEqual(ended);
      expect(await stream.next()).toEqual({ value: undefined, done: true });
    });

    it('shows a slow watcher the newest snapshot only, revisions rising', async () => {
      let job = await stored();
      const stream = await watchJob(store.ledger, store.feed, job.id);
      if (stream === null) throw new Error('the job is there');
      job = await commit(job, claim('e#0'));
      job = await commit(job, { type: 'started', at: 6 });
      for (let step = 1; step <= 50; step += 1) {
        const progress = step * 1.5;
        job = await commit(job, {
          type: 'progressed',
          at: 7,
          progress,
          stage: 'SAMPLING',
          step,
          totalSteps: 50,
          etaSeconds: null,
        });
      }
      job = await commit(job, { type: 'canceled', ...END });
      const revisions: number[] = [];
      for await (const snapshot of stream) revisions.push(snapshot.revision);
      expect(revisions.at(-1)).toBe(job.revision);
      expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
      expect(revisions.length).toBeLessThan(53);
    });

    it('ends the stream of a deleted job, and of one that was never there at once', async () => {
      const job = await stored();
      const stream = await watchJob(store.ledger, store.feed, job.id);
      await stream?.next();
      const end = stream?.next();
      await store.ledger.remove(job.id);
      expect(await end).toEqual({ value: undefined, done: true });
      expect(await watchJob(store.ledger, store.feed, job.id)).toBeNull();
    });

    it('knows which jobs are watched', async () => {
      const job = await stored();
      expect(store.feed.watched()).toEqual([]);
      const stream = await watchJob(store.ledger, store.feed, job.id);
      expect(store.feed.watched()).toEqual([job.id]);
      await stream?.return();
      expect(store.feed.watched()).toEqual([]);
    });

    it('settles `return` at once while `next` waits', async () => {
      const job = await stored();
      const stream = await watchJob(store.ledger, store.feed, job.id);
      await stream?.next();
      const parked = stream?.next();
      expect(await stream?.return()).toEqual({ value: undefined, done: true });
      expect(await parked).toEqual({ value: undefined, done: true });
    });
  });
}
