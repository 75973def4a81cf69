import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createClient } from 'graphql-ws';
import { Redis } from 'ioredis';
import { WebSocket } from 'ws';
import { startRedis } from '../test/support/stores/redis.ts';
import { atMost, type Bench, judged, overRuns, row, rowOf } from './support/measurement.ts';
import { NO_ENGINE, type ServerProcess, startEngine, startGateway } from './support/processes.ts';
import { picture } from './support/rig.ts';
import { latency } from './support/statistics.ts';
import { tapEngine } from './support/tap.ts';

const JOBS = 15;
/** Of the guard. */
const FEW_JOBS = 4;
const STEPS = 40;
const RAW = 600;
const WATCH = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { step } }';

export const bench: Bench = {
  title: 'From the engine to a subscriber of another gateway',
  about:
    `${JOBS} jobs submitted on gateway A, run by B, watched on C: from the engine's event on the wire to the ` +
    "subscriber's message, beside publish → subscribe of the same Redis. Redis, gateways and engine are processes " +
    'of their own.',
  runs: 3,
  async measure(context) {
    const runs = await overRuns(context, () => measureOnce(JOBS));
    const late = rowOf(runs, 'difference, p99', 'ms', ({ ours, raw }) => ours.p99 - raw.p99);
    return {
      rows: [
        rowOf(runs, 'engine event → subscriber, p50', 'ms', ({ ours }) => ours.p50),
        rowOf(runs, 'engine event → subscriber, p99', 'ms', ({ ours }) => ours.p99),
        rowOf(runs, 'raw publish → subscribe, p50', 'ms', ({ raw }) => raw.p50),
        rowOf(runs, 'raw publish → subscribe, p99', 'ms', ({ raw }) => raw.p99),
        rowOf(runs, 'difference, p50', 'ms', ({ ours, raw }) => ours.p50 - raw.p50),
        late,
      ],
      ratios: [judged('p99 over that of raw publish → subscribe, ms', late.median, atMost(3))],
    };
  },
  guard: {
    async measure() {
      const { ours, raw } = await measureOnce(FEW_JOBS);
      return { rows: [row('difference, p50', 'ms', [ours.p50 - raw.p50])], ratios: [] };
    },
    figures: [{ name: 'difference, p50', better: 'lower', noise: 0.5 }],
  },
};

type Latency = ReturnType<typeof latency>;

async function measureOnce(jobs: number): Promise<{ ours: Latency; raw: Latency }> {
  const pictures = await mkdtemp(join(tmpdir(), 'bench-pictures-'));
  const redis = await startRedis();
  const engine = await startEngine(15);
  const tap = await tapEngine(engine.url);
  const gateways: ServerProcess[] = [];
  try {
    // One gateway stores what the other reads.
    const shared = { REDIS_URL: redis.url, ARTIFACTS_URL: pathToFileURL(pictures).href };
    for (const engineUrl of [NO_ENGINE, tap.url, NO_ENGINE]) {
      gateways.push(await startGateway({ ...shared, COMFYUI_URL: engineUrl }));
    }
    const [a, , c] = gateways;
    if (a === undefined || c === undefined) throw new Error('no gateway');
    const ours = latency(await liveLatencies(a.url, c.url, tap.steps, jobs));
    return { ours, raw: latency(await rawLatencies(redis.url)) };
  } finally {
    await Promise.all(gateways.map(gateway => gateway.stop()));
    await tap.stop();
    await engine.stop();
    await redis.stop();
    await rm(pictures, { recursive: true, force: true });
  }
}

/** `said`: when the engine reported each number of finished steps, by our clock. */
async function liveLatencies(
  submitTo: string,
  watchAt: string,
  said: Map<number, number>,
  jobs: number,
): Promise<number[]> {
  const client = createClient({
    url: `${watchAt.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    lazy: false,
  });
  const latencies: number[] = [];
  try {
    for (let n = 0; n < jobs; n += 1) {
      said.clear();
      const answer = await fetch(`${submitTo}/edit-image`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          image1_url: await picture(),
          prompt: `job ${n}`,
          steps: STEPS,
          megapixels: 0.1,
        }),
      });
      const { job_id: jobId }: { job_id: string } = await answer.json();
      const results = client.iterate<{ jobProgress: { step: number | null } }>({
        query: WATCH,
        variables: { jobId },
      });
      let newest = 0;
      for await (const { data } of results) {
        const step = data?.jobProgress.step ?? 0;
        const at = said.get(step);
        // The first job is a warm-up.
        if (step > newest && step < STEPS && at !== undefined && n > 0)
          latencies.push(performance.now() - at);
        newest = Math.max(newest, step);
      }
    }
  } finally {
    await client.dispose();
  }
  if (latencies.length === 0) throw new Error('no job ran');
  return latencies;
}

async function rawLatencies(url: string): Promise<number[]> {
  const [publisher, subscriber] = [new Redis(url), new Redis(url)];
  const latencies: number[] = [];
  await subscriber.subscribe('raw');
  for (let n = 0; n < RAW; n += 1) {
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
