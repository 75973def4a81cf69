import { connectRedis } from '../../src/adapters/redis/connect.ts';
import { advance } from '../../src/jobs/advance.ts';
import type { Job } from '../../src/jobs/job.ts';
import { createLog } from '../../src/log.ts';
import { aJob } from '../../test/support/jobs.ts';

/** What one gateway's ledger did, alone in its process. */
export interface Committed {
  readonly changesPerSecond: number;
  /** CPU of this process per change: commit, announcement and one watcher that receives it. */
  readonly cpuMicroseconds: number;
  readonly heard: number;
  readonly snapshotBytes: number;
}

/** On `{url, jobs, ticks}` it changes that many jobs together, at each tick, in that Redis; replies `{committed}`. */
process.on('message', ({ url, jobs, ticks }: { url: string; jobs: number; ticks: number }) => {
  commitAll(url, jobs, ticks).then(
    committed => process.send?.({ committed }, () => process.disconnect()),
    (error: unknown) => process.send?.({ failed: String(error) }, () => process.disconnect()),
  );
});

async function commitAll(url: string, count: number, ticks: number): Promise<Committed> {
  const { ledger, feed, close } = await connectRedis({ url, log: createLog('error') });
  let heard = 0;
  let snapshotBytes = 0;
  try {
    const jobs: Job[] = [];
    for (let n = 0; n < count; n += 1) {
      const job = aJob({ createdAt: Date.now() });
      await ledger.submit(job, { maxQueue: 1e6, idempotency: null });
      await feed.watch(job.id, { changed: () => (heard += 1), gone: () => undefined });
      const claimed = advance(job, { type: 'claimed', at: 1, lane: `e#${n}`, engine: 'e', promptId: job.id });
      const started = advance(claimed, { type: 'started', at: 2 });
      await ledger.commit(claimed, job.revision, null, []);
      await ledger.commit(started, claimed.revision, null, []);
      snapshotBytes = JSON.stringify(started).length;
      jobs.push(started);
    }
    heard = 0;
    const before = process.cpuUsage();
    const begun = performance.now();
    await Promise.all(
      jobs.map(async first => {
        let job = first;
        for (let tick = 1; tick <= ticks; tick += 1) {
          const next = advance(job, {
            type: 'progressed',
            at: tick,
            progress: tick / 3,
            stage: 'SAMPLING',
            step: tick,
            totalSteps: ticks,
            etaSeconds: 1,
          });
          await ledger.commit(next, job.revision, null, []);
          job = next;
        }
      }),
    );
    const seconds = (performance.now() - begun) / 1000;
    const { user, system } = process.cpuUsage(before);
    const changes = count * ticks;
    return {
      changesPerSecond: changes / seconds,
      cpuMicroseconds: (user + system) / changes,
      heard,
      snapshotBytes,
    };
  } finally {
    await close();
  }
}
