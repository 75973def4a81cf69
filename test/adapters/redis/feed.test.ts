import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { advance, type JobEvent } from '../../../src/jobs/advance.ts';
import { watchJob } from '../../../src/jobs/changes.ts';
import type { IdleLanes } from '../../../src/jobs/claims.ts';
import type { Job } from '../../../src/jobs/job.ts';
import { aJob } from '../../support/jobs.ts';
import { acquireLane, asking, idleLanes } from '../../support/lanes.ts';
import { aPrefix, openStore, sharedRedis, startCluster, withClient } from '../../support/stores/redis.ts';
import { until } from '../../support/watch.ts';

type Store = Awaited<ReturnType<typeof openStore>>;

const OPEN = { maxQueue: 1_000, idempotency: null };

for (const { name, start, numsub, publish } of [
  { name: 'Redis', start: sharedRedis, numsub: 'NUMSUB', publish: 'PUBLISH' },
  { name: 'a Redis cluster', start: startCluster, numsub: 'SHARDNUMSUB', publish: 'SPUBLISH' },
]) {
  describe(`two gateways on ${name}`, () => {
    let redis: { url: string; stop(): Promise<void> };
    let prefix: string;
    let a: Store;
    let b: Store;
    beforeAll(async () => {
      redis = await start();
    });
    afterAll(() => redis.stop());
    beforeEach(async () => {
      prefix = aPrefix();
      [a, b] = await Promise.all([openStore(redis.url, { prefix }), openStore(redis.url, { prefix })]);
    });
    afterEach(() => Promise.all([a.close(), b.close()]));

    const listeners = (channel: string): Promise<number> =>
      withClient(redis.url, async client => {
        const reply = await client.call('PUBSUB', numsub, `${prefix}:${channel}`);
        return Array.isArray(reply) ? Number(reply[1]) : Number.NaN;
      });

    async function commit(job: Job, event: JobEvent): Promise<Job> {
      const next = advance(job, event);
      expect(await a.ledger.commit(next, job.revision, null)).toBe('ok');
      return next;
    }

    it('passes commits of one gateway to watchers of the other, with rising revisions', async () => {
      let job = aJob({ owner: 'somebody' });
      await a.ledger.submit(job, OPEN);
      const stream = await watchJob(b.ledger, b.feed, job.id);
      if (stream === null) throw new Error('the job is there');
      const seen: Job[] = [];
      const watching = (async () => {
        for await (const snapshot of stream) seen.push(snapshot);
      })();
      job = await commit(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
      job = await commit(job, { type: 'started', at: 6 });
      for (let step = 1; step <= 30; step += 1) {
        const measures = {
          progress: step * 3,
          stage: 'SAMPLING',
          step,
          totalSteps: 30,
          etaSeconds: 0.5,
        } as const;
        job = await commit(job, { type: 'progressed', at: 7, ...measures });
      }
      job = await commit(job, { type: 'canceled', at: 9, expiresAt: 10 });
      await watching;
      expect(seen.at(-1)).toEqual(job);
      const revisions = seen.map(snapshot => snapshot.revision);
      expect(revisions).toEqual([...new Set(revisions)].sort((x, y) => x - y));
    });

    it('ends the streams of a job that the other gateway deletes', async () => {
      const job = aJob();
      await a.ledger.submit(job, OPEN);
      const stream = await watchJob(b.ledger, b.feed, job.id);
      expect((await stream?.next())?.value).toEqual(job);
      await a.ledger.remove(job.id);
      expect(await stream?.next()).toEqual({ value: undefined, done: true });
    });

    it('subscribes once per job and unsubscribes after the last watcher', async () => {
      const job = aJob();
      await a.ledger.submit(job, OPEN);
      const channel = `feed:${job.id}`;
      const streams = await Promise.all(Array.from({ length: 20 }, () => watchJob(b.ledger, b.feed, job.id)));
      expect(await listeners(channel)).toBe(1);
      expect(b.feed.watched()).toEqual([job.id]);
      for (const stream of streams.slice(1)) await stream?.return();
      expect(await listeners(channel)).toBe(1);
      const last = streams[0];
      expect((await last?.next())?.value).toEqual(job);
      const next = last?.next();
      const claimed = await commit(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
      expect((await next)?.value).toEqual(claimed);

      await last?.return();
      expect(b.feed.watched()).toEqual([]);
      await until(async () => (await listeners(channel)) === 0);
      expect(await listeners('waiting')).toBe(2);
    });

    it('delivers changes to a watcher that follows the last one at once', async () => {
      const job = aJob();
      await a.ledger.submit(job, OPEN);
      for (let round = 0; round < 20; round += 1) {
        const stream = await watchJob(b.ledger, b.feed, job.id);
        await stream?.return();
      }
      const stream = await watchJob(b.ledger, b.feed, job.id);
      await stream?.next();
      const claimed = await commit(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
      expect((await stream?.next())?.value).toEqual(claimed);
      await stream?.return();
    });

    it('drops and logs messages that it cannot parse, and continues', async () => {
      const job = aJob();
      await a.ledger.submit(job, OPEN);
      const stream = await watchJob(b.ledger, b.feed, job.id);
      await stream?.next();
      const bad = ['', 'nonsense', '[]', 'null', '{"state":{},"request":{}}', '{"state":1}'];
      const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
      await withClient(redis.url, async client => {
        for (const text of [...bad, deep]) await client.call(publish, `${prefix}:feed:${job.id}`, text);
      });
      const claimed = await commit(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
      expect((await stream?.next())?.value).toEqual(claimed);
      const warnings = b.log.lines.filter(line => line.message === 'could not read a message of the feed');
      expect(warnings).toHaveLength(bad.length + 1);
      await stream?.return();
    });

    it('adds the fields that came later to a snapshot of an earlier gateway', async () => {
      const job = aJob();
      await a.ledger.submit(job, OPEN);
      const stream = await watchJob(b.ledger, b.feed, job.id);
      await stream?.next();
      const { request, previewRevisions: _, waitCode: __, ...state } = { ...job, revision: 2 };
      const { metadata: ___, label: ____, ...earlier } = request;
      await withClient(redis.url, client =>
        client.call(publish, `${prefix}:feed:${job.id}`, JSON.stringify({ state, request: earlier })),
      );
      expect((await stream?.next())?.value).toEqual({ ...job, revision: 2 });
      await stream?.return();
    });

    /** Of how many arrivals each gateway is told. */
    function listen(): { readonly a: number; readonly b: number } {
      const told = { a: 0, b: 0 };
      a.ledger.onWaiting(arrivals => {
        told.a += arrivals;
      });
      b.ledger.onWaiting(arrivals => {
        told.b += arrivals;
      });
      return told;
    }

    const park = (store: Store, ...idle: IdleLanes[]): Promise<unknown> =>
      store.ledger.claim({ at: 5, lanes: [], idle, woken: 0, patienceMs: 0 });

    it('tells each arrival to one gateway that has an idle lane for it, and no more than it has', async () => {
      const told = listen();
      const cannot = { names: ['qwen-image-edit-plus'], except: [] };
      await park(a, idleLanes(3));
      await park(b, idleLanes(2), { ...idleLanes(50), cannot });
      await Promise.all(Array.from({ length: 10 }, () => a.ledger.submit(aJob(), OPEN)));
      await until(() => told.a + told.b === 5);
      expect(told).toEqual({ a: 3, b: 2 });

      // One that took nothing passes it on, once.
      await park(a, idleLanes(1));
      await b.ledger.claim({ at: 5, lanes: [], idle: [idleLanes(1)], woken: 1, patienceMs: 0 });
      await until(() => told.a === 3);
      expect(told.b).toBe(2);
    });

    it('tells an arrival to a gateway whose idle engine has its models, as often as there is one', async () => {
      const told = listen();
      const job = aJob();
      await park(a, idleLanes(5));
      await park(
        b,
        { ...idleLanes(2), warm: { other: 2 } },
        { ...idleLanes(1), warm: { [job.request.workflow]: 1 } },
      );
      await a.ledger.submit(job, OPEN);
      await until(() => told.a + told.b === 1);
      expect(told).toEqual({ a: 0, b: 1 });
      await a.ledger.submit(aJob(), OPEN);
      await until(() => told.a + told.b === 2);
      expect(told).toEqual({ a: 1, b: 1 });
    });

    it('takes an engine that got a job by a claim for none that is idle with its models', async () => {
      const told = listen();
      const job = aJob();
      const { workflow } = job.request;
      await a.ledger.submit(job, OPEN);
      const lane = await acquireLane(b.ledger, 'e#0', 60_000);
      const { claimed } = await b.ledger.claim({
        at: 5,
        lanes: lane === null ? [] : [asking(lane.lease, { warm: [workflow] })],
        idle: [{ ...idleLanes(2), warm: { [workflow]: 1 } }],
        woken: 0,
        patienceMs: 0,
      });
      expect(claimed).toHaveLength(1);
      await park(a, idleLanes(2));
      await a.ledger.submit(aJob(), OPEN);
      await until(() => told.a + told.b === 1);
      expect(told).toEqual({ a: 1, b: 0 });
    });

    it('forgets the idle lanes of a gateway that is gone', async () => {
      const other = await openStore(redis.url, { prefix });
      await other.ledger.claim({ at: 5, lanes: [], idle: [idleLanes(9)], woken: 0, patienceMs: 0 });
      let told = 0;
      const stop = b.ledger.onWaiting(arrivals => {
        told += arrivals;
      });
      await b.ledger.claim({ at: 5, lanes: [], idle: [idleLanes(1)], woken: 0, patienceMs: 0 });
      await other.close();
      await a.ledger.submit(aJob(), OPEN);
      await until(() => told === 1);
      stop();
    });

    it('tells all gateways of a job that one of version 3 submits', async () => {
      let told = 0;
      const stop = b.ledger.onWaiting(arrivals => {
        expect(arrivals).toBe(0);
        told += 1;
      });
      const send = (text: string) =>
        withClient(redis.url, client => client.call(publish, `${prefix}:waiting`, text));
      await send('+the-id');
      await send('the-id');
      await until(() => told > 0);
      expect(told).toBe(1);
      stop();
    });

    it('leases a lane to one of two gateways, and hands its job over when the lease ends', async () => {
      const mine = await acquireLane(a.ledger, 'e#0', 200);
      expect(await acquireLane(b.ledger, 'e#0', 200)).toBeNull();
      const job = aJob();
      await a.ledger.submit(job, OPEN);
      const claimed = advance(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
      expect(await a.ledger.commit(claimed, job.revision, mine?.lease ?? null)).toBe('ok');
      let theirs: Awaited<ReturnType<typeof acquireLane>> = null;
      await until(async () => {
        theirs ??= await acquireLane(b.ledger, 'e#0', 60_000);
        return theirs !== null;
      });
      expect(theirs).toMatchObject({ job: claimed });
      const late = advance(claimed, { type: 'started', at: 6 });
      expect(await a.ledger.commit(late, claimed.revision, mine?.lease ?? null)).toBe('fenced');
    });

    it('leaves the job of a released lane to its next holder during the grace period', async () => {
      const mine = await acquireLane(a.ledger, 'e#0', 60_000);
      const job = aJob();
      await a.ledger.submit(job, OPEN);
      const claimed = advance(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
      await a.ledger.commit(claimed, job.revision, mine?.lease ?? null);
      if (mine !== null) await a.ledger.releaseLane(mine.lease);
      expect(await b.ledger.stranded(30_000)).toEqual([]);
      expect((await acquireLane(b.ledger, 'e#0', 60_000))?.job).toEqual(claimed);
    });

    it('shares the newest preview, which expires', async () => {
      const bytes = Buffer.from([0xff, 0xd8, 0x0a, 0x00, 0x7b]);
      await a.previews.put('j', { sequence: 1, mimeType: 'image/jpeg', bytes: Buffer.alloc(100) });
      await a.previews.put('j', { sequence: 2, mimeType: 'image/png', bytes });
      expect(await b.previews.get('j')).toEqual({ sequence: 2, mimeType: 'image/png', bytes });
      const left = await withClient(redis.url, client => client.pttl(`${prefix}:preview:j`));
      expect(left).toBeGreaterThan(9 * 60_000);
      expect(left).toBeLessThanOrEqual(10 * 60_000);
      await b.previews.drop('j');
      expect(await a.previews.get('j')).toBeNull();
    });

    it('keeps no keys of a deleted job but its id for those that catch up, for a while', async () => {
      const job = aJob({ owner: 'o' });
      const idempotency = { key: 'k', fingerprint: 'f' };
      await a.ledger.submit(job, { ...OPEN, idempotency });
      const claimed = await commit(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
      await commit(claimed, { type: 'canceled', at: 9, expiresAt: 10 });
      await a.ledger.remove(job.id);
      const names = await withClient(redis.url, client => client.keys(`${prefix.replace(/[{}]/g, '?')}*`));
      const kept = ['identity', 'number', 'removed', 'removed:o', 'version'];
      // The work of a day is counted apart from its jobs.
      const others = names.filter(name => !name.startsWith(`${prefix}:usage:`));
      expect(others.toSorted()).toEqual(kept.map(name => `${prefix}:${name}`));
      const lives = await withClient(redis.url, client => client.pttl(`${prefix}:removed:o`));
      expect(lives).toBeGreaterThan(0);
    });
  });
}
