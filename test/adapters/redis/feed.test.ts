import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { advance, type JobEvent } from '../../../src/jobs/advance.ts';
import { watchJob } from '../../../src/jobs/changes.ts';
import type { Job } from '../../../src/jobs/job.ts';
import { aJob } from '../../support/jobs.ts';
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

    it('announces waiting jobs to every gateway, once per burst', async () => {
      let calls = 0;
      const stop = b.ledger.onWaiting(() => {
        calls += 1;
      });
      await Promise.all(Array.from({ length: 100 }, () => a.ledger.submit(aJob(), OPEN)));
      await until(() => calls > 0);
      expect(calls).toBeLessThan(50);
      stop();
    });

    it('leases a lane to one of two gateways, and hands its job over when the lease ends', async () => {
      const mine = await a.ledger.acquireLane('e#0', 200);
      expect(await b.ledger.acquireLane('e#0', 200)).toBeNull();
      const job = aJob();
      await a.ledger.submit(job, OPEN);
      const claimed = advance(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
      expect(await a.ledger.commit(claimed, job.revision, mine?.lease ?? null)).toBe('ok');
      let theirs: Awaited<ReturnType<typeof b.ledger.acquireLane>> = null;
      await until(async () => {
        theirs ??= await b.ledger.acquireLane('e#0', 60_000);
        return theirs !== null;
      });
      expect(theirs).toMatchObject({ job: claimed });
      const late = advance(claimed, { type: 'started', at: 6 });
      expect(await a.ledger.commit(late, claimed.revision, mine?.lease ?? null)).toBe('fenced');
    });

    it('leaves the job of a released lane to its next holder during the grace period', async () => {
      const mine = await a.ledger.acquireLane('e#0', 60_000);
      const job = aJob();
      await a.ledger.submit(job, OPEN);
      const claimed = advance(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
      await a.ledger.commit(claimed, job.revision, mine?.lease ?? null);
      if (mine !== null) await a.ledger.releaseLane(mine.lease);
      expect(await b.ledger.stranded(30_000)).toEqual([]);
      expect((await b.ledger.acquireLane('e#0', 60_000))?.job).toEqual(claimed);
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
      expect(names.toSorted()).toEqual(kept.map(name => `${prefix}:${name}`));
      const lives = await withClient(redis.url, client => client.pttl(`${prefix}:removed:o`));
      expect(lives).toBeGreaterThan(0);
    });
  });
}
