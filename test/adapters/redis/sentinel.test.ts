import { expect, it } from 'vitest';
import { advance } from '../../../src/jobs/advance.ts';
import { watchJob } from '../../../src/jobs/changes.ts';
import { StoreUnavailable } from '../../../src/jobs/errors.ts';
import { aJob } from '../../support/jobs.ts';
import { openStore, startRedis, startSentinel, withClient } from '../../support/stores/redis.ts';
import { until } from '../../support/watch.ts';

const OPEN = { maxQueue: 10, idempotency: null };

it('follows the sentinels to the new master after a failover, and its watchers too', async () => {
  const master = await startRedis();
  const replica = await startRedis({ extra: ['--replicaof', '127.0.0.1', String(master.port)] });
  await withClient(replica.url, client =>
    until(async () => /master_link_status:up/.test(await client.info('replication'))),
  );
  const sentinel = await startSentinel(master.port);
  await expect(openStore(`${sentinel.url}/16`)).rejects.toThrow(
    /^REDIS_URL: database 16 of redis\+sentinel:/,
  );
  const store = await openStore(sentinel.url);
  try {
    const job = aJob();
    await store.ledger.submit(job, OPEN);
    await withClient(master.url, client => client.wait(1, 5_000));
    const stream = await watchJob(store.ledger, store.feed, job.id);
    expect((await stream?.next())?.value).toEqual(job);
    const seen = stream?.next();

    await master.kill();
    await expect(store.ledger.get(job.id)).rejects.toBeInstanceOf(StoreUnavailable);
    const next = advance(job, { type: 'claimed', at: 5, lane: 'e#0', engine: 'e', promptId: 'p' });
    await until(async () =>
      store.ledger.commit(next, job.revision, null).then(
        result => result === 'ok',
        () => false,
      ),
    );
    expect((await seen)?.value).toEqual(next);
    const stored = await withClient(replica.url, client =>
      client.hget(`{qwen-edit}:job:${job.id}`, 'revision'),
    );
    expect(stored).toBe('2');

    // And the channel is the new master's.
    await until(() => store.log.has('info', 'live updates from Redis continue'));
    const started = advance(next, { type: 'started', at: 6 });
    expect(await store.ledger.commit(started, next.revision, null)).toBe('ok');
    expect((await stream?.next())?.value).toEqual(started);
  } finally {
    await store.close();
    await Promise.all([sentinel.stop(), replica.stop(), master.stop()]);
  }
});
