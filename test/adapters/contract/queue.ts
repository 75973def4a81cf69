import { expect, it } from 'vitest';
import { aJob } from '../../support/jobs.ts';
import { idleLanes } from '../../support/lanes.ts';
import { claim, END, OPEN, type UnderTest } from './under-test.ts';

/** The queue: its order, its bound and its listeners. */
export function queueContract(under: () => UnderTest): void {
  it('orders the queue by priority and time, and returns a lost job to its place', async () => {
    const low = await under().stored({ priority: 'LOW', createdAt: 1 });
    const late = await under().stored({ createdAt: 3 });
    const early = await under().stored({ createdAt: 2 });
    const high = await under().stored({ priority: 'HIGH', createdAt: 4 });
    const order = async (): Promise<string[]> => (await under().store.ledger.waiting(10)).map(job => job.id);
    expect(await order()).toEqual([high.id, early.id, late.id, low.id]);
    expect(await under().ahead(late)).toBe(2);

    const taken = await under().commit(early, claim('e#0'));
    expect(await order()).toEqual([high.id, late.id, low.id]);
    expect(await under().ahead(taken)).toBeNull();
    expect(await under().store.ledger.count()).toEqual({ waiting: 3, running: 1 });
    await under().commit(taken, { type: 'engineLost', at: 6, reason: 'gone', maxAttempts: 3, expiresAt: 9 });
    expect(await order()).toEqual([high.id, early.id, late.id, low.id]);
  });

  it('finds among many jobs those that wait, and no others', async () => {
    const jobs = [
      await under().stored(),
      await under().stored(),
      await under().stored(),
      await under().stored(),
    ];
    const [first, taken, canceled, last] = jobs;
    if (!first || !taken || !canceled || !last) throw new Error('four are stored');
    await under().commit(taken, claim('e#0'));
    await under().commit(canceled, { type: 'cancelRequested', ...END });
    const ids = [...jobs.map(job => job.id), 'no-such-job'];
    const found = await under().store.ledger.waitingAmong(ids);
    expect(new Map(found.map(job => [job.id, job]))).toEqual(
      new Map([first, last].map(job => [job.id, job])),
    );
    expect(await under().store.ledger.waitingAmong([taken.id])).toEqual([]);
    expect(await under().store.ledger.waitingAmong([])).toEqual([]);
  });

  it('orders jobs of the same moment by their ids, in the queue and in lists', async () => {
    const ids = ['b', 'a-10', 'a-9', 'B', 'a'];
    const jobs = [];
    for (const id of ids) jobs.push(await under().stored({ id, createdAt: 7 }));
    const inOrder = ['B', 'a', 'a-10', 'a-9', 'b'];
    expect((await under().store.ledger.waiting(10)).map(job => job.id)).toEqual(inOrder);
    expect((await under().store.ledger.waiting(2)).map(job => job.id)).toEqual(inOrder.slice(0, 2));
    for (const job of jobs) expect(await under().ahead(job)).toBe(inOrder.indexOf(job.id));
    expect(await under().pages({ owner: null, statuses: null }, 2)).toEqual(inOrder.reverse());
  });

  it('starves no priority and alternates between callers', async () => {
    const minute = 60_000;
    const low = await under().stored({ priority: 'LOW', createdAt: minute });
    const high = await under().stored({ priority: 'HIGH', createdAt: 22 * minute });
    expect((await under().store.ledger.waiting(2)).map(job => job.id)).toEqual([low.id, high.id]);
    await under().store.ledger.remove(low.id);
    await under().store.ledger.remove(high.id);

    const greedy = [];
    for (let n = 0; n < 4; n += 1)
      greedy.push(await under().stored({ share: 'greedy', createdAt: 1_000 + n }));
    const modest = [
      await under().stored({ share: 'modest', createdAt: 2_000 }),
      await under().stored({ share: 'modest', createdAt: 2_001 }),
    ];
    const order = (await under().store.ledger.waiting(10)).map(job => job.share);
    expect(order).toEqual(['greedy', 'modest', 'greedy', 'modest', 'greedy', 'greedy']);
    expect(await under().ahead(modest[0] ?? greedy[0] ?? low)).toBe(1);
  });

  it('bounds the queue', async () => {
    await under().stored();
    const result = await under().store.ledger.submit(aJob(), { ...OPEN, maxQueue: 1 });
    expect(result).toEqual({ kind: 'queue-full', waiting: 1 });
  });

  it('bounds the queue for concurrent submits, and recognizes a repeated key among them', async () => {
    const submit = (idempotency: { key: string; fingerprint: string } | null) =>
      under().store.ledger.submit(aJob(), { maxQueue: 3, idempotency });
    const same = { key: 'k', fingerprint: 'f' };
    const results = await Promise.all([submit(same), submit(same), ...[1, 2, 3, 4].map(() => submit(null))]);
    const kinds = results.map(({ kind }) => kind);
    expect(kinds).toEqual(['stored', 'repeated', 'stored', 'stored', 'queue-full', 'queue-full']);
    expect(results.at(-1)).toEqual({ kind: 'queue-full', waiting: 3 });
    expect((await under().store.ledger.count()).waiting).toBe(3);
  });

  it('tells the listeners of a process with idle lanes of arrivals, and of a job that is handed back', async () => {
    const { ledger } = under().store;
    const told: number[] = [];
    const stop = ledger.onWaiting(arrivals => told.push(arrivals));
    // Two of its engines stay idle.
    await ledger.claim({ at: 5, lanes: [], idle: [idleLanes(2)], woken: 0, patienceMs: 0 });
    expect(await ledger.idleElsewhere()).toEqual([]);
    const job = await under().stored();
    await expect.poll(() => told).toEqual([1]);
    const claimed = await under().commit(job, claim('e#0'));
    await under().commit(claimed, { type: 'handedBack', at: 6, reason: 'down', expiresAt: 9 });
    await expect.poll(() => told.at(-1)).toBe(0);
    // A store may tell a process with an idle engine first.
    expect([
      [1, 0],
      [1, 1, 0],
    ]).toContainEqual(told);
    stop();
  });
}
