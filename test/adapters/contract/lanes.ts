import { expect, it } from 'vitest';
import { advance } from '../../../src/jobs/advance.ts';
import { acquireLane, renewLane } from '../../support/lanes.ts';
import { claim, END, type UnderTest } from './under-test.ts';

/** Lanes, their leases, and expiring jobs. */
export function laneContract(under: () => UnderTest): void {
  it('frees the lane of a deleted job', async () => {
    const job = await under().commit(await under().stored({ owner: 'a' }), claim('e#0'));
    expect(await under().store.ledger.count()).toEqual({ waiting: 0, running: 1 });
    expect(await under().store.ledger.remove(job.id)).toBe(true);
    expect(await under().store.ledger.count()).toEqual({ waiting: 0, running: 0 });
    expect((await acquireLane(under().store.ledger, 'e#0', 1_000))?.job).toBeNull();
    expect(await under().store.ledger.stranded(0)).toEqual([]);
    expect(await under().pages({ owner: 'a', statuses: null }, 5)).toEqual([]);
  });

  it('ignores a release by a former holder, and rejects a lease of a lane that was never taken', async () => {
    const first = await acquireLane(under().store.ledger, 'e#0', 1_000);
    under().store.advanceClock(1_001);
    const second = await acquireLane(under().store.ledger, 'e#0', 1_000);
    if (first === null || second === null) throw new Error('the lane was free');
    expect(second.lease.token).toBeGreaterThan(first.lease.token);
    await under().store.ledger.releaseLane(first.lease);
    expect(await acquireLane(under().store.ledger, 'e#0', 1_000)).toBeNull();
    const job = await under().stored();
    const lease = { lane: 'never', token: 1 };
    expect(await under().store.ledger.commit(advance(job, claim('never')), job.revision, lease)).toBe(
      'fenced',
    );
    expect(await renewLane(under().store.ledger, lease, 1_000)).toBe(false);
  });

  it('gives a lane to one holder, and after its lease to the next, with the job in the lane', async () => {
    const first = await acquireLane(under().store.ledger, 'e#0', 1_000);
    if (first === null) throw new Error('the lane was free');
    expect(first.job).toBeNull();
    expect(await acquireLane(under().store.ledger, 'e#0', 1_000)).toBeNull();
    const job = await under().stored();
    const claimed = advance(job, claim('e#0'));
    expect(await under().store.ledger.commit(claimed, job.revision, first.lease)).toBe('ok');
    expect(await renewLane(under().store.ledger, first.lease, 1_000)).toBe(true);

    under().store.advanceClock(1_001);
    const second = await acquireLane(under().store.ledger, 'e#0', 1_000);
    expect(second?.job).toEqual(claimed);
    // The stale holder can neither renew nor write.
    expect(await renewLane(under().store.ledger, first.lease, 1_000)).toBe(false);
    const late = advance(claimed, { type: 'started', at: 7 });
    expect(await under().store.ledger.commit(late, claimed.revision, first.lease)).toBe('fenced');
    expect(await under().store.ledger.get(job.id)).toEqual(claimed);
    expect(await under().store.ledger.commit(late, claimed.revision, second?.lease ?? null)).toBe('ok');
  });

  it('finds the jobs in the lanes of one engine', async () => {
    const inLanes = async (prefix: string): Promise<string[]> =>
      (await under().store.ledger.inLanes(prefix)).map(({ id }) => id).sort();
    const first = await under().commit(await under().stored(), claim('e:1#0'));
    const second = await under().commit(await under().stored(), claim('e:1#1'));
    await under().commit(await under().stored(), claim('e:12#0'));
    await under().stored();
    expect(await inLanes('e:1#')).toEqual([first.id, second.id].sort());
    expect(await inLanes('e:')).toHaveLength(3);
    await under().commit(first, { type: 'canceled', ...END });
    expect(await under().store.ledger.inLanes('e:1#')).toEqual([second]);
  });

  it('frees a released lane', async () => {
    const first = await acquireLane(under().store.ledger, 'e#0', 60_000);
    if (first !== null) await under().store.ledger.releaseLane(first.lease);
    expect(await acquireLane(under().store.ledger, 'e#0', 60_000)).not.toBeNull();
  });

  it('finds jobs in lanes without a holder', async () => {
    const held = await acquireLane(under().store.ledger, 'e#0', 10_000);
    const job = await under().stored();
    const claimed = advance(job, claim('e#0'));
    await under().store.ledger.commit(claimed, job.revision, held?.lease ?? null);
    expect(await under().store.ledger.stranded(500)).toEqual([]);
    under().store.advanceClock(10_400);
    expect(await under().store.ledger.stranded(500)).toEqual([]);
    under().store.advanceClock(200);
    expect(await under().store.ledger.stranded(500)).toEqual([claimed]);
  });

  it('finds only jobs that wait too long, oldest first', async () => {
    const young = await under().stored({ createdAt: 30 });
    const old = await under().stored({ createdAt: 10, priority: 'LOW' });
    const older = await under().stored({ createdAt: 5 });
    const running = await under().commit(await under().stored({ createdAt: 1 }), claim('e#0'));
    const ids = async (before: number): Promise<string[]> =>
      (await under().store.ledger.overdue(before, 10)).map(job => job.id);
    expect(await ids(30)).toEqual([older.id, old.id]);
    expect(await ids(31)).toEqual([older.id, old.id, young.id]);
    expect(running.lane).toBe('e#0');
  });

  it('finds expired jobs', async () => {
    const job = await under().stored();
    const ended = await under().commit(job, { type: 'cancelRequested', ...END });
    expect(await under().store.ledger.expired(4_999, 10)).toEqual([]);
    expect(await under().store.ledger.expired(5_000, 10)).toEqual([ended]);
  });
}
