import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type HeardStep, hearSteps, STEP_MS, withLiveStage } from './support/live.ts';
import { atMost, type Bench, judged, overRuns, row, rowOf } from './support/measurement.ts';
import { latency } from './support/statistics.ts';

const JOBS = 15;
const RAW = 600;
/** Of the guard. */
const FEW_JOBS = 4;
const FEW_RAW = 60;

export const bench: Bench = {
  title: 'From the engine to a subscriber of another gateway',
  about:
    `${JOBS} jobs submitted on gateway A, run by B, watched on C: from the engine's event on the wire to the ` +
    "subscriber's message. Beside it, in turn, as many runs of the same graph over the same hops without gateways: a bare process " +
    'reads the events with ws and stores and publishes as many bytes in one transaction, another one subscribes and writes to the ' +
    'same watcher. And publish → subscribe of the same Redis, one right after another and at the pace of the steps. Redis, gateways, ' +
    'bare processes and engine are processes of their own.',
  runs: 3,
  async measure(context) {
    const runs = await overRuns(context, () => measureOnce(JOBS, RAW));
    const late = rowOf(runs, 'difference, p99', 'ms', ({ ours, raw }) => ours.p99 - raw.p99);
    return {
      rows: [
        rowOf(runs, 'engine event → subscriber, p50', 'ms', ({ ours }) => ours.p50),
        rowOf(runs, 'engine event → subscriber, p99', 'ms', ({ ours }) => ours.p99),
        rowOf(runs, 'the same hops without gateways, p50', 'ms', ({ bare }) => bare.p50),
        rowOf(runs, 'the same hops without gateways, p99', 'ms', ({ bare }) => bare.p99),
        rowOf(runs, 'raw publish → subscribe, p50', 'ms', ({ raw }) => raw.p50),
        rowOf(runs, 'raw publish → subscribe, p99', 'ms', ({ raw }) => raw.p99),
        rowOf(runs, `raw, one every ${STEP_MS} ms, p50`, 'ms', ({ paced }) => paced.p50),
        rowOf(runs, `raw, one every ${STEP_MS} ms, p99`, 'ms', ({ paced }) => paced.p99),
        rowOf(runs, 'difference, p50', 'ms', ({ ours, raw }) => ours.p50 - raw.p50),
        late,
        rowOf(runs, 'of it the hops without gateways, p50', 'ms', ({ bare, raw }) => bare.p50 - raw.p50),
        rowOf(runs, 'of it the hops without gateways, p99', 'ms', ({ bare, raw }) => bare.p99 - raw.p99),
        rowOf(runs, 'of it the gateways, p50', 'ms', ({ ours, bare }) => ours.p50 - bare.p50),
        rowOf(runs, 'of it the gateways, p99', 'ms', ({ ours, bare }) => ours.p99 - bare.p99),
        rowOf(runs, 'difference from raw at that pace, p50', 'ms', ({ ours, paced }) => ours.p50 - paced.p50),
        rowOf(runs, 'difference from raw at that pace, p99', 'ms', ({ ours, paced }) => ours.p99 - paced.p99),
      ],
      ratios: [judged('p99 over that of raw publish → subscribe, ms', late.median, atMost(1.5))],
    };
  },
  guard: {
    async measure() {
      const { ours, bare } = await measureOnce(FEW_JOBS, FEW_RAW);
      return { rows: [row('of it the gateways, p50', 'ms', [ours.p50 - bare.p50])], ratios: [] };
    },
    figures: [{ name: 'of it the gateways, p50', better: 'lower', noise: 0.5 }],
  },
};

type Latency = ReturnType<typeof latency>;

interface Run {
  readonly ours: Latency;
  readonly bare: Latency;
  readonly raw: Latency;
  /** With the pauses that an engine makes between its steps. */
  readonly paced: Latency;
}

/** `messages`: of each raw measurement. */
function measureOnce(jobs: number, messages: number): Promise<Run> {
  return withLiveStage(async ({ redisUrl, ours, bare, tap }) => {
    const heard = await hearSteps(tap, { ours, bare }, jobs);
    const latencyOf = (steps: readonly HeardStep[]) => latency(steps.map(({ said, heard: at }) => at - said));
    return {
      ours: latencyOf(heard.ours),
      bare: latencyOf(heard.bare),
      raw: latency(await rawLatencies(redisUrl, messages, 0)),
      paced: latency(await rawLatencies(redisUrl, messages, STEP_MS)),
    };
  });
}

/** One after another, with a pause of `pauseMs` between: after one, processes sleep and caches are cold, as between steps. */
async function rawLatencies(url: string, messages: number, pauseMs: number): Promise<number[]> {
  const [publisher, subscriber] = [new Redis(url), new Redis(url)];
  const latencies: number[] = [];
  await subscriber.subscribe('raw');
  for (let n = 0; n < messages; n += 1) {
    if (pauseMs > 0) await delay(pauseMs);
    const heard = new Promise<void>(resolve => subscriber.once('message', () => resolve()));
    const sent = performance.now();
    await publisher.publish('raw', 'x'.repeat(2_000));
    await heard;
    latencies.push(performance.now() - sent);
  }
  publisher.disconnect();
  subscriber.disconnect();
  return latencies;
}
