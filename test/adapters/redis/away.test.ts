import { afterEach, describe, expect, it } from 'vitest';
import { advance, type JobEvent } from '../../../src/jobs/advance.ts';
import { type JobStream, watchJob } from '../../../src/jobs/changes.ts';
import { StoreUnavailable } from '../../../src/jobs/errors.ts';
import type { Job } from '../../../src/jobs/job.ts';
import { createUpdates } from '../../../src/jobs/updates/updates.ts';
import { aJob } from '../../support/jobs.ts';
import { acquireLane, asking, claimFor, renewLane } from '../../support/lanes.ts';
import { startSilentProxy } from '../../support/proxies.ts';
import {
  openStore,
  type StartOptions,
  startCluster,
  startRedis,
  type TestRedis,
  withClient,
} from '../../support/stores/redis.ts';
import { until } from '../../support/watch.ts';

type Store = Awaited<ReturnType<typeof openStore>>;

const OPEN = { maxQueue: 1_000, idempotency: null };
const CLAIM: JobEvent = { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' };

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function open(redis: TestRedis): Promise<Store> {
  const store = await openStore(redis.url);
  ends.push(store.close);
  return store;
}

async function start(options?: StartOptions): Promise<TestRedis> {
  const redis = await startRedis(options);
  ends.push(redis.stop);
  return redis;
}

async function watch({ ledger, feed }: Store, id: string): Promise<JobStream> {
  const stream = await watchJob(ledger, feed, id);
  if (stream === null) throw new Error('the job is there');
  return stream;
}

/** How a call ended and how long it took. */
async function attempt(call: () => Promise<unknown>): Promise<{ error: unknown; ms: number }> {
  const from = performance.now();
  const error = await call().then(
    () => null,
    reason => reason,
  );
  return { error, ms: performance.now() - from };
}

/** Retries a commit until the store is back, as the dispatcher does. */
async function commitWhenBack({ ledger }: Store, job: Job, event: JobEvent): Promise<Job> {
  const next = advance(job, event);
  await until(async () => {
    const { error } = await attempt(async () => {
      expect(['ok', 'stale']).toContain(await ledger.commit(next, job.revision, null));
    });
    if (error !== null && !(error instanceof StoreUnavailable)) throw error;
    return error === null;
  });
  return next;
}

/** Every call of the ports, by its name. */
function calls({ ledger, feed, previews, rates }: Store, job: Job): Record<string, () => Promise<unknown>> {
  const lease = { lane: 'e#0', token: 1 };
  const idempotency = { key: 'k', fingerprint: 'f' };
  return {
    submit: () => ledger.submit(aJob(), OPEN),
    findRepeated: () => ledger.findRepeated(null, idempotency),
    get: () => ledger.get(job.id),
    getMany: () => ledger.getMany([job.id]),
    list: () => ledger.list({ owner: null, statuses: null, first: 1, after: null }),
    commit: () => ledger.commit(advance(job, CLAIM), job.revision, null),
    remove: () => ledger.remove(job.id),
    waiting: () => ledger.waiting(1),
    waitingAmong: () => ledger.waitingAmong([job.id]),
    place: () => ledger.place(job),
    setPolicies: () => ledger.setPolicies(new Map([['a', 'p']])),
    count: () => ledger.count(),
    limited: () => ledger.limited({ p: 1 }),
    claim: () => claimFor(ledger, [asking(lease)]),
    keepLanes: () => ledger.keepLanes([lease], [], 1),
    releaseLane: () => ledger.releaseLane(lease),
    stranded: () => ledger.stranded(1),
    overdue: () => ledger.overdue(1, 1),
    expired: () => ledger.expired(1, 1),
    watch: () => feed.watch(job.id, { changed: () => {}, gone: () => {} }),
    putPreview: () => previews.put('j', { sequence: 1, mimeType: 'image/png', bytes: new Uint8Array(1) }),
    getPreview: () => previews.get('j'),
    dropPreview: () => previews.drop('j'),
    takeRate: () => rates.take('k', { limit: 1, windowMs: 1 }),
  };
}

async function expectAway(store: Store, job: Job, withinMs: number): Promise<void> {
  const outcomes = await Promise.all(
    Object.entries(calls(store, job)).map(async ([name, call]) => ({ name, ...(await attempt(call)) })),
  );
  for (const { name, error, ms } of outcomes) {
    expect(error, name).toBeInstanceOf(StoreUnavailable);
    expect(error, name).toMatchObject({ name: 'StoreUnavailable', retryAfterSeconds: 5 });
    expect(ms, name).toBeLessThan(withinMs);
  }
}

describe('a lost Redis', () => {
  it('rejects every call at once, and continues after a restart with its file', async () => {
    const redis = await start({ aof: true });
    const [a, b] = [await open(redis), await open(redis)];
    const job = aJob();
    await a.ledger.submit(job, OPEN);
    const stream = await watch(b, job.id);
    expect((await stream.next()).value).toEqual(job);

    await redis.kill();
    await expectAway(a, job, 500);
    expect(a.feed.watched()).toEqual([]);
    expect(b.feed.watched()).toEqual([job.id]);
    const attempts = (): number =>
      b.log.lines.filter(line => line.message.includes('could not open a subscribing')).length;
    await until(() => attempts() >= 6);
    await expectAway(b, job, 500);

    const seen = stream.next();
    await redis.restart();
    const claimed = await commitWhenBack(a, job, CLAIM);
    expect((await seen).value).toEqual(claimed);
    // What comes after the first snapshot comes by the channel again.
    await until(() => b.log.has('info', 'live updates from Redis continue'));
    const started = await commitWhenBack(a, claimed, { type: 'started', at: 6 });
    expect((await stream.next()).value).toEqual(started);
    // Its connection for commands may come back later than that for changes.
    await expect.poll(() => b.ledger.get(job.id)).toEqual(started);
    expect(b.log.has('warn', 'live updates are interrupted')).toBe(true);
    expect(b.log.has('error', 'without its jobs')).toBe(false);
  });

  it('gives watchers the changes that they missed while only their connection was lost', async () => {
    const redis = await start();
    const [a, b] = [await open(redis), await open(redis)];
    const jobs = Array.from({ length: 450 }, () => aJob());
    await Promise.all(jobs.map(job => a.ledger.submit(job, OPEN)));
    const streams = await Promise.all(jobs.map(job => watch(b, job.id)));
    await Promise.all(streams.map(stream => stream.next()));
    let called = false;
    b.ledger.onWaiting(() => {
      called = true;
    });
    const next = jobs.map(job => advance(job, CLAIM));
    await whileCutOff(
      redis,
      next.map((job, n) => () => a.ledger.commit(job, jobs[n]?.revision ?? 0, null)),
    );
    const seen = await Promise.all(streams.map(stream => stream.next()));
    expect(seen.map(({ value }) => value)).toEqual(next);
    await until(() => called);
    await Promise.all(streams.map(stream => stream.return()));
    expect(b.feed.watched()).toEqual([]);
  });

  it('gives watchers of all jobs what they missed, and a reset when Redis came back empty', async () => {
    const redis = await start({ aof: true });
    const [a, b] = [await open(redis), await open(redis)];
    const wanted = {
      owner: null,
      statuses: null,
      previews: false,
      maxPerSecond: null,
      since: null,
      first: 20,
    };
    const stream = await createUpdates(b.ledger, b.feed).watch(wanted);
    const take = async () => (await stream.next()).value;
    expect(await take()).toMatchObject({ reset: true, jobs: [] });
    // From here on it is live.
    const [job, gone, other] = [aJob(), aJob(), aJob()];
    await a.ledger.submit(gone, OPEN);
    expect((await take())?.jobs).toEqual([gone]);
    const parked = take();
    await whileCutOff(redis, [() => a.ledger.submit(job, OPEN), () => a.ledger.remove(gone.id)]);
    const missed = [await parked];
    while (missed.flatMap(updates => updates?.removed ?? []).length === 0) missed.push(await take());
    expect(missed.map(updates => updates?.reset)).not.toContain(true);
    expect(missed.flatMap(updates => updates?.jobs ?? [])).toEqual([job]);

    const reset = take();
    await redis.restart({ empty: true });
    expect(await reset).toMatchObject({ reset: true, jobs: [] });
    await until(async () => (await attempt(() => a.ledger.submit(other, OPEN))).error === null);
    expect((await take())?.jobs).toEqual([other]);
    await stream.return();
  });

  it('logs that Redis came back empty, ends the streams of lost jobs, and continues', async () => {
    const redis = await start({ aof: true });
    const store = await open(redis);
    const job = aJob();
    await store.ledger.submit(job, OPEN);
    const before = await acquireLane(store.ledger, 'e#0', 60_000);
    const stream = await watch(store, job.id);
    await stream.next();
    const end = stream.next();
    await redis.restart({ empty: true });
    expect(await end).toEqual({ value: undefined, done: true });
    expect(store.log.has('error', 'Redis came back without its jobs')).toBe(true);
    expect(await store.ledger.get(job.id)).toBeNull();

    const another = aJob();
    expect(await store.ledger.submit(another, OPEN)).toEqual({ kind: 'stored' });
    expect(await store.ledger.waiting(5)).toEqual([another]);
    // A former holder stays fenced, also after the lane was taken again.
    if (before === null) throw new Error('the lane was free');
    expect(await renewLane(store.ledger, before.lease, 1_000)).toBe(false);
    const after = await acquireLane(store.ledger, 'e#0', 60_000);
    expect(after?.lease.token).toBeGreaterThan(before.lease.token);
    expect(await store.ledger.commit(advance(another, CLAIM), 1, before.lease)).toBe('fenced');
  });

  it('times out calls that a stopped Redis does not answer, and recovers with Redis', async () => {
    const redis = await start();
    const [a, b] = [await open(redis), await open(redis)];
    const job = aJob();
    await a.ledger.submit(job, OPEN);
    const stream = await watch(b, job.id);
    await stream.next();
    redis.pause();
    await expectAway(a, aJob(), 3_000);
    // The silent connections were given up meanwhile: from now on calls fail at once.
    await until(
      () => a.log.has('warn', 'Redis is unreachable') && b.log.has('warn', 'live updates are interrupted'),
    );
    await expectAway(a, aJob(), 2_500);
    redis.resume();
    // The commit that was given up may have been carried out: then this one is stale and the snapshot is the same.
    const claimed = await commitWhenBack(a, job, CLAIM);
    expect((await stream.next()).value).toEqual(claimed);
  });

  it('notices at once that the subscribing connection was closed, and by a ping that it is half-open', async () => {
    const redis = await start();
    const proxy = await startSilentProxy(redis.url);
    ends.push(proxy.stop);
    const a = await open(redis);
    const b = await openStore(proxy.url.replace('http:', 'redis:'));
    ends.push(b.close);
    const job = aJob();
    await a.ledger.submit(job, OPEN);
    const stream = await watch(b, job.id);
    await stream.next();
    const told = (text: string) => b.log.lines.filter(({ message }) => message.includes(text)).length;
    /** Milliseconds until the loss is noticed. Live updates have continued when it resolves. */
    const noticedAfter = async (lose: () => Promise<unknown>): Promise<number> => {
      const [lost, back] = [told('live updates are interrupted'), told('live updates from Redis continue')];
      const { ms } = await attempt(async () => {
        await lose();
        await until(() => told('live updates are interrupted') > lost);
      });
      await until(() => told('live updates from Redis continue') > back);
      return ms;
    };
    const kill = () => withClient(redis.url, client => client.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
    // Less than a ping takes.
    expect(await noticedAfter(kill)).toBeLessThan(1_000);
    expect(await noticedAfter(async () => proxy.silence())).toBeLessThan(5_000);
    const claimed = await commitWhenBack(a, job, CLAIM);
    expect((await stream.next()).value).toEqual(claimed);
  });

  it('reconnects to a cluster', async () => {
    const redis = await startCluster();
    ends.push(redis.stop);
    const [a, b] = [await open(redis), await open(redis)];
    const job = aJob();
    await a.ledger.submit(job, OPEN);
    const stream = await watch(b, job.id);
    await stream.next();
    const end = stream.next();
    await redis.kill();
    await until(async () => (await attempt(() => a.ledger.get(job.id))).error instanceof StoreUnavailable);
    await expectAway(a, job, 2_500);
    await redis.restart();
    // Without a file the node keeps its slots and loses the jobs.
    expect(await end).toEqual({ value: undefined, done: true });
    const another = aJob();
    await until(async () => (await attempt(() => a.ledger.submit(another, OPEN))).error === null);
    const second = await watch(b, another.id);
    expect((await second.next()).value).toEqual(another);
    const claimed = await commitWhenBack(a, another, CLAIM);
    expect((await second.next()).value).toEqual(claimed);
  });

  it('closes every connection, also while Redis is unreachable', async () => {
    const redis = await start();
    const store = await openStore(redis.url);
    const clients = (): Promise<number> =>
      withClient(
        redis.url,
        async client =>
          String(await client.client('LIST'))
            .trim()
            .split('\n').length,
      );
    expect(await clients()).toBe(3);
    const another = await openStore(redis.url);
    await another.close();
    await until(async () => (await clients()) === 3);
    redis.pause();
    const { ms } = await attempt(() => store.close());
    expect(ms).toBeLessThan(2_500);
    await redis.kill();
    const { ms: again } = await attempt(() => store.close());
    expect(again).toBeLessThan(50);
  });
});

/** Kills every subscribing connection and rejects new ones until all work is done. */
async function whileCutOff(redis: TestRedis, works: (() => Promise<unknown>)[]): Promise<void> {
  await withClient(redis.url, async client => {
    await client.config('SET', 'maxclients', '1');
    await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    for (const work of works) await work();
    await client.config('SET', 'maxclients', '1000');
  });
}
