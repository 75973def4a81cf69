import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RedisStore } from '../../../src/adapters/redis/connect.ts';
import { noRecord } from '../../../src/jobs/engines.ts';
import type { LastClaim } from '../../../src/jobs/last-claims.ts';
import { aJob } from '../../support/jobs.ts';
import { acquireLane, asking, claimFor } from '../../support/lanes.ts';
import { aPrefix, openStore, sharedRedis, startCluster } from '../../support/stores/redis.ts';
import { until } from '../../support/watch.ts';

const ENGINE = 'gpu:8188';

describe.each([
  ['a Redis', sharedRedis],
  ['a Redis cluster', startCluster],
] as const)('the last claims of engines in %s', (_, start) => {
  let redis: { url: string; stop(): Promise<void> };
  beforeAll(async () => {
    redis = await start();
  });
  afterAll(() => redis.stop());

  let [one, other]: RedisStore[] = [];
  let heard: LastClaim[] = [];
  beforeEach(async () => {
    const prefix = aPrefix();
    one = await openStore(redis.url, { prefix });
    other = await openStore(redis.url, { prefix });
    heard = [];
    other.lastClaims.onChange(claim => heard.push(claim));
  });
  afterEach(async () => {
    await one?.close();
    await other?.close();
  });

  /** One gateway claims a job of the workflow for a lane of the engine, knowing what is loaded. */
  async function claim(workflow: string, warm: readonly string[] = []): Promise<void> {
    if (one === undefined) return;
    const { ledger } = one;
    const lane = await acquireLane(ledger, `${ENGINE}#0`, 60_000);
    if (lane === null) throw new Error('the lane is taken');
    const job = aJob();
    const stored = { ...job, request: { ...job.request, workflow } };
    expect(await ledger.submit(stored, { maxQueue: 9, idempotency: null })).toEqual({ kind: 'stored' });
    expect((await claimFor(ledger, [asking(lane.lease, { warm })])).claimed).toHaveLength(1);
    await ledger.remove(job.id);
    await ledger.releaseLane(lane.lease);
  }

  it('are what every gateway hears of at once, each change of an engine with a higher mark', async () => {
    await claim('a "quoted" name');
    await claim('a "quoted" name', ['a "quoted" name']);
    await claim('b', ['a "quoted" name']);
    await until(async () => heard.length === 2);
    expect(heard).toMatchObject([
      { engine: ENGINE, workflow: 'a "quoted" name' },
      { engine: ENGINE, workflow: 'b' },
    ]);
    expect(heard[1]?.mark).toBeGreaterThan(heard[0]?.mark ?? Number.NaN);
    // What an engine has loaded already is not said again.
    await claim('b', ['b']);
    await claim('c', ['b']);
    await until(async () => heard.length === 3);
    expect(heard[2]?.workflow).toBe('c');
    expect(await other?.lastClaims.read()).toEqual([heard[2]]);
  });

  it('are forgotten when the engine was lost, unless there was a claim since, and heard of again', async () => {
    await claim('a');
    const [before] = (await other?.lastClaims.read()) ?? [];
    if (before === undefined) throw new Error('there is no claim');
    // By a gateway that has just seen the engine come back.
    await claim('a');
    await other?.lastClaims.forget(before);
    expect(await one?.lastClaims.read()).toMatchObject([{ workflow: 'a' }]);
    await until(async () => heard.length === 2);
    const [, after] = heard;
    if (after === undefined) return;
    expect(after.mark).toBeGreaterThan(before.mark);
    await other?.lastClaims.forget(after);
    expect(await one?.lastClaims.read()).toEqual([]);
    await claim('a', ['a']);
    await until(async () => heard.length === 3);
    expect(heard[2]?.mark).toBeGreaterThan(after.mark);
  });

  it('go with the record of the engine', async () => {
    await claim('a');
    const record = { ...noRecord(ENGINE), url: `http://${ENGINE}`, origin: 'OPERATOR' as const };
    expect(await one?.ledger.engines.commit(record)).toBe(true);
    expect(await one?.lastClaims.read()).toHaveLength(1);
    expect(await one?.ledger.engines.commit({ ...noRecord(ENGINE), revision: 1 })).toBe(true);
    expect(await one?.lastClaims.read()).toEqual([]);
  });
});
