import { afterAll, beforeAll, expect, it } from 'vitest';
import { aPrefix, openStore, sharedRedis, startCluster, withClient } from '../../support/stores/redis.ts';
import { until } from '../../support/watch.ts';

const HOUR = 3_600_000;

let redis: Awaited<ReturnType<typeof sharedRedis>>;
beforeAll(async () => {
  redis = await sharedRedis();
});
afterAll(() => redis.stop());

it('gives one budget to all gateways, also to concurrent requests', async () => {
  const prefix = aPrefix();
  const stores = await Promise.all([openStore(redis.url, { prefix }), openStore(redis.url, { prefix })]);
  const rate = { limit: 10, windowMs: HOUR };
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) => stores[n % 2]?.rates.take(`caller "odd" {name} ${n % 4}`, rate)),
  );
  expect(answers.filter(answer => answer?.ok)).toHaveLength(40);
  const again = await Promise.all(
    Array.from({ length: 40 }, (_, n) => stores[n % 2]?.rates.take('caller alice', rate)),
  );
  expect(again.filter(answer => answer?.ok)).toHaveLength(10);
  expect(
    again
      .map(answer => answer?.remaining ?? -1)
      .toSorted((a, b) => b - a)
      .slice(0, 11),
  ).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]);
  await Promise.all(stores.map(store => store.close()));
});

it('reports when the next request is allowed, allows it then, and expires its key', async () => {
  const prefix = aPrefix();
  const { rates, close } = await openStore(redis.url, { prefix });
  const slow = { limit: 4, windowMs: HOUR };
  for (const remaining of [3, 2, 1, 0]) {
    expect(await rates.take('a', slow)).toEqual({ ok: true, limit: 4, remaining, retryAfterMs: 0 });
  }
  const refused = await rates.take('a', slow);
  expect(refused).toMatchObject({ ok: false, limit: 4, remaining: 0 });
  expect(refused.retryAfterMs).toBeGreaterThan(HOUR / 4 - 10_000);
  expect(refused.retryAfterMs).toBeLessThanOrEqual(HOUR / 4);

  const quick = { limit: 1, windowMs: 300 };
  expect(await rates.take('b', quick)).toMatchObject({ ok: true });
  const { ok, retryAfterMs } = await rates.take('b', quick);
  expect([ok, retryAfterMs > 0, retryAfterMs <= 300]).toEqual([false, true, true]);
  await until(async () => (await rates.take('b', quick)).ok);
  await withClient(redis.url, async client => {
    expect(await client.pttl(`${prefix}:rate:a`)).toBeLessThanOrEqual(HOUR);
    expect(await client.pttl(`${prefix}:rate:a`)).toBeGreaterThan(0);
    await until(async () => (await client.exists(`${prefix}:rate:b`)) === 0);
  });
  await close();
});

it('counts on a cluster', async () => {
  const cluster = await startCluster();
  const { rates, close } = await openStore(cluster.url);
  const rate = { limit: 1, windowMs: HOUR };
  expect([(await rates.take('a', rate)).ok, (await rates.take('a', rate)).ok]).toEqual([true, false]);
  expect((await rates.take('b{c}', rate)).ok).toBe(true);
  await close();
  await cluster.stop();
});
