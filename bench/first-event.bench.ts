import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { type Bench, overRuns, rowOf } from './support/measurement.ts';
import { startBenchRig } from './support/rig.ts';
import { latency } from './support/statistics.ts';

const JOBS = 200;
const WARM_UP = 10;
const WATCH = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { status progress } }';
/** From sending `editImage` to … */
const MOMENTS = ['its first snapshot', 'the engine runs it', 'the picture is stored'] as const;

export const bench: Bench = {
  title: 'From editImage to what its subscriber hears',
  about:
    `${JOBS} jobs, one after another, on an engine whose steps take no time. Gateway, engine and subscriber are ` +
    'processes of their own.',
  runs: 3,
  async measure(context) {
    const runs = await overRuns(context, measureOnce);
    const rows = MOMENTS.map(moment => {
      const found = runs.map(times => latency(times.map(one => one[moment])));
      return [
        rowOf(found, `editImage → ${moment}, p50`, 'ms', ({ p50 }) => p50),
        rowOf(found, `editImage → ${moment}, p99`, 'ms', ({ p99 }) => p99),
      ];
    });
    return { rows: rows.flat(), ratios: [] };
  },
};

async function measureOnce(): Promise<Record<(typeof MOMENTS)[number], number>[]> {
  const rig = await startBenchRig(0);
  const client = createClient({
    url: `${rig.gateway.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    lazy: false,
  });
  const times: Record<(typeof MOMENTS)[number], number>[] = [];
  try {
    for (let n = 0; n < JOBS + WARM_UP; n += 1) {
      const sent = performance.now();
      const jobId = await rig.submit(`job ${n}`, 4);
      let first: number | null = null;
      let running: number | null = null;
      for await (const { data } of client.iterate<{ jobProgress: { status: string } }>({
        query: WATCH,
        variables: { jobId },
      })) {
        const at = performance.now() - sent;
        first ??= at;
        if (data?.jobProgress.status !== 'QUEUED') running ??= at;
      }
      const stored = performance.now() - sent;
      if (n < WARM_UP) continue;
      times.push({
        'its first snapshot': first ?? Number.NaN,
        'the engine runs it': running ?? Number.NaN,
        'the picture is stored': stored,
      });
    }
  } finally {
    await client.dispose();
    await rig.stop();
  }
  return times;
}
