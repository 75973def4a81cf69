import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { advance } from '../../../src/jobs/advance.ts';
import type { AskingLane, IdleLanes, Inability } from '../../../src/jobs/claims.ts';
import type { Ledger } from '../../../src/jobs/ports.ts';
import { aJob } from '../../support/jobs.ts';
import { acquireLane, asking } from '../../support/lanes.ts';
import { aPrefix, openStore, sharedRedis, startCluster } from '../../support/stores/redis.ts';

const group = (engines: number, spare: number, cannot: Partial<Inability> = {}): IdleLanes => ({
  cannot: { names: [], except: [], ...cannot },
  engines,
  spare,
  warm: {},
});

describe.each([
  ['a Redis', sharedRedis],
  ['a Redis cluster', startCluster],
] as const)('gateways that share %s', (_, start) => {
  let redis: { url: string; stop(): Promise<void> };
  beforeAll(async () => {
    redis = await start();
  });
  afterAll(() => redis.stop());

  async function openTwo() {
    const prefix = aPrefix();
    const open = async () => {
      const store = await openStore(redis.url, { prefix });
      onTestFinished(() => store.close());
      return store.ledger;
    };
    return { own: await open(), other: await open() };
  }

  const claim = (ledger: Ledger, idle: readonly IdleLanes[], lanes: readonly AskingLane[] = []) =>
    ledger.claim({ at: Date.now(), lanes, idle, woken: 0, patienceMs: 0 });
  const submit = (ledger: Ledger, job = aJob()) => ledger.submit(job, { maxQueue: 9, idempotency: null });

  async function laneOf(ledger: Ledger, name: string, alone: boolean): Promise<AskingLane> {
    const lane = await acquireLane(ledger, name, 60_000);
    if (lane === null) throw new Error('the lane is taken');
    return asking(lane.lease, { alone });
  }

  it('know the idle engines of each other, without those that were told of a job', async () => {
    const { own, other } = await openTwo();
    expect(await own.idleElsewhere()).toEqual([]);
    await claim(own, [group(5, 5)]);
    const able = { ...group(2, 1), warm: { x: 1 } };
    const unable = group(1, 0, { names: [aJob().request.workflow], except: ['v1 x'] });
    await claim(other, [able, unable, group(0, 3)]);
    expect(await own.idleElsewhere()).toEqual([able, unable]);
    await claim(own, []);
    expect(await other.idleElsewhere()).toEqual([]);
    await submit(own);
    expect(await own.idleElsewhere()).toEqual([{ ...able, engines: 1 }, unable]);
  });

  it('leave a job that a lane gives back to an idle engine of another, if it may run now', async () => {
    const { own, other } = await openTwo();
    const busy = await laneOf(own, 'own#0', false);
    const free = await laneOf(other, 'other#0', true);
    await submit(own);
    const [first] = (await claim(own, [group(0, 1)], [busy])).claimed;
    if (first === undefined) throw new Error('no job was claimed');
    await claim(other, [group(1, 1)]);
    const event = { type: 'handedBack', at: Date.now(), reason: 'r', expiresAt: Date.now() } as const;
    const back = advance(first.job, event);
    expect(await own.commit(back, first.job.revision, busy.lease)).toBe('ok');
    expect((await claim(own, [group(0, 1)], [busy])).claimed).toEqual([]);
    const [second] = (await claim(other, [group(1, 1)], [free])).claimed;
    expect(second).toMatchObject({ lane: 'other#0', job: { id: back.id } });

    // Of one that waits for a while no engine is told.
    if (second === undefined) throw new Error('no job was claimed');
    await claim(own, [group(1, 0)]);
    const paused = advance(second.job, {
      ...event,
      type: 'engineLost',
      maxAttempts: 3,
    });
    expect(await other.commit(paused, second.job.revision, free.lease)).toBe('ok');
    expect(await other.idleElsewhere()).toEqual([group(1, 0)]);
  });
});
