import { connectRedis } from '../src/adapters/redis/connect.ts';
import { advance } from '../src/jobs/advance.ts';
import type { Job } from '../src/jobs/job.ts';
import { createLog } from '../src/log.ts';
import { aJob } from '../test/support/jobs.ts';
import { startRedis } from '../test/support/redis.ts';

const JOBS = 50;
const TICKS = 200;

/** What one Redis takes: changes of jobs a second, each with its announcement, and what one change weighs. */
export async function measure(): Promise<Record<string, unknown>> {
  const redis = await startRedis({ aof: true });
  const { ledger, feed, close } = await connectRedis({ url: redis.url, log: createLog('error') });
  let messages = 0;
  let bytes = 0;
  try {
    const jobs: Job[] = [];
    for (let n = 0; n < JOBS; n += 1) {
      const job = aJob({ createdAt: Date.now() });
      await ledger.submit(job, { maxQueue: 1e6, idempotency: null });
      await feed.watch(job.id, { changed: () => (messages += 1), gone: () => undefined });
      const claimed = advance(job, { type: 'claimed', at: 1, lane: `e#${n}`, engine: 'e', promptId: job.id });
      const started = advance(claimed, { type: 'started', at: 2 });
      await ledger.commit(claimed, job.revision, null);
      await ledger.commit(started, claimed.revision, null);
      bytes = JSON.stringify(started).length;
      jobs.push(started);
    }
    const before = process.cpuUsage();
    const begun = performance.now();
    await Promise.all(
      jobs.map(async first => {
        let job = first;
        for (let tick = 1; tick <= TICKS; tick += 1) {
          const next = advance(job, {
            type: 'progressed',
            at: tick,
            progress: tick / 3,
            stage: 'SAMPLING',
            step: tick,
            totalSteps: TICKS,
            etaSeconds: 1,
          });
          await ledger.commit(next, job.revision, null);
          job = next;
        }
      }),
    );
    const seconds = (performance.now() - begun) / 1000;
    const cpu = process.cpuUsage(before);
    return {
      'changes a second, one gateway': Math.round((JOBS * TICKS) / seconds),
      'gateway CPU a change with one watcher, µs': Math.round((cpu.user + cpu.system) / (JOBS * TICKS)),
      'announcements heard': messages,
      'bytes of a snapshot': bytes,
    };
  } finally {
    await close();
    await redis.stop();
  }
}
