import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import {
  atMost,
  type Bench,
  type BenchContext,
  judged,
  overRuns,
  type Row,
  row,
  rowOf,
} from './support/measurement.ts';
import { startBenchRig } from './support/rig.ts';
import { latency } from './support/statistics.ts';

const JOBS = 100;
/** Of the guard. */
const FEW_JOBS = 30;
/**
 * Milliseconds of a step. With 5 a job takes 50 ms, as long as the first submits of a cold gateway, and the 99th percentile of 100
 * jobs is the longest of their gaps.
 */
const STEP_MS = 15;
const WATCH = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { status } }';

export const bench: Bench = {
  title: 'How long an engine has nothing to do between two jobs while work waits',
  about: `By the engine's own clock, over ${JOBS} jobs; one lane and two. Gateway, engine and caller are processes of their own.`,
  runs: 3,
  async measure(context) {
    const one = await gapsWith(context, 1, 'one lane');
    const two = await gapsWith(context, 2, 'two lanes');
    return {
      rows: [one.p50, one.p99, two.p50, two.p99],
      ratios: [judged('pause of an engine while work waits, p99, ms', two.p99.median, atMost(5))],
    };
  },
  guard: {
    async measure() {
      return {
        rows: [row('two lanes, p50', 'ms', [latency(await measureOnce(2, FEW_JOBS)).p50])],
        ratios: [],
      };
    },
    figures: [{ name: 'two lanes, p50', better: 'lower', noise: 0.6 }],
  },
};

async function gapsWith(context: BenchContext, lanes: number, name: string): Promise<{ p50: Row; p99: Row }> {
  const found = (await overRuns(context, () => measureOnce(lanes, JOBS))).map(latency);
  return {
    p50: rowOf(found, `${name}, p50`, 'ms', ({ p50 }) => p50),
    p99: rowOf(found, `${name}, p99`, 'ms', ({ p99 }) => p99),
  };
}

async function measureOnce(lanes: number, jobs: number): Promise<number[]> {
  const rig = await startBenchRig(STEP_MS, { LANES_PER_ENGINE: String(lanes) });
  const client = createClient({
    url: `${rig.gateway.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
  });
  try {
    const ids: string[] = [];
    for (let n = 0; n < jobs; n += 1) ids.push(await rig.submit(`job ${n}`, 4));
    for (const jobId of ids) for await (const _ of client.iterate({ query: WATCH, variables: { jobId } }));
    const answer = await fetch(`${rig.engine.url}/sandbox/stats`);
    const { timeline }: { timeline: { startedAt: number; endedAt: number }[] } = await answer.json();
    return timeline.slice(1).map(({ startedAt }, n) => startedAt - (timeline[n]?.endedAt ?? startedAt));
  } finally {
    await client.dispose();
    await rig.stop();
  }
}
