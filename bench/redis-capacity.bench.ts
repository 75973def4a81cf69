import { fork } from 'node:child_process';
import { startRedis } from '../test/support/stores/redis.ts';
import type { Committed } from './support/committer.ts';
import { ask } from './support/ipc.ts';
import { type Bench, judged, overRuns, rowOf } from './support/measurement.ts';

const JOBS = 50;
const TICKS = 200;

export const bench: Bench = {
  title: 'What one Redis takes from one gateway',
  about:
    `Changes of ${JOBS} jobs at once, ${TICKS} of each, every one announced and heard by one watcher. Redis with an ` +
    'append-only file, and the ledger that commits, are processes of their own.',
  runs: 3,
  async measure(context) {
    const runs = await overRuns(context, measureOnce);
    return {
      rows: [
        rowOf(runs, 'changes a second', '1/s', run => run.changesPerSecond),
        rowOf(runs, 'CPU of the gateway a change', 'µs', run => run.cpuMicroseconds),
        rowOf(runs, 'a snapshot', 'bytes', run => run.snapshotBytes),
      ],
      ratios: [
        judged(
          'announcements heard, of those made',
          Math.min(...runs.map(run => run.heard)) / (JOBS * TICKS),
        ),
      ],
    };
  },
};

async function measureOnce(): Promise<Committed> {
  const redis = await startRedis({ aof: true });
  const child = fork(new URL('support/committer.ts', import.meta.url));
  try {
    const question = { url: redis.url, jobs: JOBS, ticks: TICKS };
    return (await ask<{ committed: Committed }>(child, question, 'committed')).committed;
  } finally {
    child.kill();
    await redis.stop();
  }
}
