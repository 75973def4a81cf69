import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { advance } from '../../../src/jobs/advance.ts';
import type { Job } from '../../../src/jobs/job.ts';
import { aJob } from '../../support/jobs.ts';
import { asking, idleLanes } from '../../support/lanes.ts';
import { aPrefix, openStore, sharedRedis, withClient } from '../../support/stores/redis.ts';
import { END, OPEN } from '../contract/under-test.ts';

let redis: Awaited<ReturnType<typeof sharedRedis>>;
beforeAll(async () => {
  redis = await sharedRedis();
});
afterAll(() => redis.stop());

/** A store in which one of three jobs of a caller is in a lane, as many as its policy allows. */
async function atLimit() {
  const prefix = aPrefix();
  const store = await openStore(redis.url, { prefix, now: () => 1_000 });
  onTestFinished(store.close);
  const { ledger } = store;
  const { taken } = await ledger.keepLanes([], ['e:1#0', 'e:2#0'], 60_000);
  const claim = async (): Promise<string[]> => {
    const lanes = taken.map(({ lease }) => asking(lease));
    const limits = { woken: 0, patienceMs: 0, running: { trial: 1 } };
    const { claimed } = await ledger.claim({ at: 5, lanes, idle: [idleLanes(2)], ...limits });
    return claimed.map(({ job }) => job.id);
  };
  const jobs: Job[] = [];
  for (let n = 0; n < 3; n += 1) {
    const job = aJob({ owner: 'key:a', share: 'key:a', createdAt: n });
    await ledger.submit(job, { ...OPEN, policy: 'trial' });
    jobs.push(job);
  }
  const [first, second, third] = jobs;
  if (first === undefined || second === undefined || third === undefined) throw new Error('three are stored');
  expect(await claim()).toEqual([first.id]);
  expect(await claim()).toEqual([]);
  return { prefix, ledger, claim, first, second, third };
}

it('keeps nothing of a caller whose jobs are gone', async () => {
  const { prefix, ledger, claim, first, second, third } = await atLimit();
  const known = (await withClient(redis.url, client => client.keys(`${prefix}:*`))).map(key =>
    key.slice(prefix.length + 1),
  );
  expect(known).toEqual(expect.arrayContaining(['held:key:a', 'limited', 'limited:key:a', 'policies']));
  await ledger.remove(second.id);
  await ledger.remove(first.id);
  expect(await claim()).toEqual([third.id]);
  await ledger.remove(third.id);
  const left = await withClient(redis.url, client => client.keys(`${prefix}:*`));
  expect(left.filter(key => /:(held|limited|policies|queue|since)\b/.test(key))).toEqual([]);
});

it('goes on after a gateway of version 5 has ended the job in the lane, or one that waits', async () => {
  const { prefix, ledger, claim, first, second, third } = await atLimit();
  // What its script `commit` writes of a job that ends.
  const endAsVersion5 = (id: string): Promise<unknown> =>
    withClient(redis.url, async client => {
      await client.hset(
        `${prefix}:job:${id}`,
        'status',
        'CANCELED',
        'waiting',
        '0',
        'lane',
        '',
        'expires',
        '9',
      );
      for (const set of ['queue', 'since', 'list:QUEUED', 'list:QUEUED:key:a'])
        await client.zrem(`${prefix}:${set}`, id);
      await client.hdel(`${prefix}:held`, id);
      await client.hincrby(`${prefix}:turns`, 'key:a', -1);
    });
  await endAsVersion5(second.id);
  expect(await claim()).toEqual([]);
  await endAsVersion5(first.id);
  expect(await claim()).toEqual([third.id]);
  expect(await claim()).toEqual([]);
  expect(await ledger.usage('key:a')).toMatchObject({ waiting: 1, running: 1 });
  const held = (await ledger.get(third.id)) ?? third;
  expect(await ledger.commit(advance(held, { type: 'canceled', ...END }), held.revision, null)).toBe('ok');
  expect(await ledger.usage('key:a')).toMatchObject({ waiting: 0, running: 0 });
});
