import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { type Bench, overRuns, rowOf } from './support/measurement.ts';
import { startBenchRig } from './support/rig.ts';
import { mean } from './support/statistics.ts';

const JOBS = 50;
const MARKS = [25, 50, 75];
const WATCH = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { progress etaSeconds } }';

export const bench: Bench = {
  title: 'How wrong the ETA is',
  about:
    `Mean absolute error in percent of the time that truly remained, at three points of progress, over ${JOBS} jobs ` +
    'of varying sizes. Gateway, engine and watcher are processes of their own.',
  runs: 1,
  async measure(context) {
    const runs = await overRuns(context, measureOnce);
    const rows = MARKS.map(mark => [
      rowOf(runs, `error at ${mark} % of progress`, '%', seen => mean(seen.errors(mark))),
      rowOf(runs, `jobs without an ETA at ${mark} %`, 'jobs', seen => seen.unknown(mark)),
    ]);
    return { rows: rows.flat(), ratios: [] };
  },
};

interface Seen {
  /** In percent, for the jobs that had an ETA at the mark. */
  errors(mark: number): number[];
  /** The number of jobs without an ETA. */
  unknown(mark: number): number;
}

async function measureOnce(): Promise<Seen> {
  const rig = await startBenchRig(25);
  const client = createClient({
    url: `${rig.gateway.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
  });
  const found: { mark: number; error: number | null }[] = [];
  try {
    for (let n = 0; n < JOBS; n += 1) {
      const jobId = await rig.submit(`job ${n}`, 10 + (n % 4) * 5, [0.25, 0.5, 1][n % 3]);
      const seen = new Map<number, { at: number; eta: number | null }>();
      for await (const { data } of client.iterate<{
        jobProgress: { progress: number; etaSeconds: number | null };
      }>({ query: WATCH, variables: { jobId } })) {
        const { progress = 0, etaSeconds = null } = data?.jobProgress ?? {};
        for (const mark of MARKS) {
          if (progress >= mark && progress < 99 && !seen.has(mark))
            seen.set(mark, { at: performance.now(), eta: etaSeconds });
        }
      }
      const end = performance.now();
      for (const [mark, { at, eta }] of seen) {
        const remained = (end - at) / 1000;
        found.push({ mark, error: eta === null ? null : (Math.abs(eta - remained) / remained) * 100 });
      }
    }
  } finally {
    await client.dispose();
    await rig.stop();
  }
  const at = (mark: number): (number | null)[] =>
    found.filter(one => one.mark === mark).map(({ error }) => error);
  return {
    errors: mark => at(mark).filter(error => error !== null),
    unknown: mark => at(mark).filter(error => error === null).length,
  };
}
