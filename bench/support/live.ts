import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { startRedis } from '../../test/support/stores/redis.ts';
import { NO_ENGINE, type ServerProcess, startEngine, startGateway } from './processes.ts';
import { picture } from './rig.ts';
import { STEPS, type Tap, tapEngine } from './tap.ts';

/** Of the engine. */
export const STEP_MS = 15;
const WATCH = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { step } }';

/** Three gateways on one Redis: jobs are submitted on A, run by B, which alone has an engine, and watched on C. */
export interface LiveStage {
  readonly redisUrl: string;
  readonly a: ServerProcess;
  readonly b: ServerProcess;
  readonly c: ServerProcess;
  /** Between B and its engine. */
  readonly tap: Tap;
}

/** Starts them for the work and stops them afterwards. */
export async function withLiveStage<T>(
  work: (stage: LiveStage) => Promise<T>,
  flags: readonly string[] = [],
): Promise<T> {
  const pictures = await mkdtemp(join(tmpdir(), 'bench-pictures-'));
  const redis = await startRedis();
  const engine = await startEngine(STEP_MS);
  const tap = await tapEngine(engine.url);
  const started: ServerProcess[] = [];
  // One gateway stores what the other reads.
  const shared = { REDIS_URL: redis.url, ARTIFACTS_URL: pathToFileURL(pictures).href };
  const start = async (engineUrl: string): Promise<ServerProcess> => {
    const gateway = await startGateway({ ...shared, COMFYUI_URL: engineUrl }, flags);
    started.push(gateway);
    return gateway;
  };
  try {
    const a = await start(NO_ENGINE);
    const b = await start(tap.url);
    const c = await start(NO_ENGINE);
    return await work({ redisUrl: redis.url, a, b, c, tap });
  } finally {
    await Promise.all(started.map(gateway => gateway.stop()));
    await tap.stop();
    await engine.stop();
    await redis.stop();
    await rm(pictures, { recursive: true, force: true });
  }
}

/** A step that its watcher heard of. */
export interface HeardStep {
  readonly step: number;
  /** When the engine's event passed the tap, and when the watcher had the result, by `performance.now()`. */
  readonly said: number;
  readonly heard: number;
}

/** Runs jobs one after another; returns the steps of all but the first, which warms up. Rejects when none was heard. */
export async function hearSteps({ a, c, tap }: LiveStage, jobs: number): Promise<HeardStep[]> {
  const client = createClient({
    url: `${c.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    lazy: false,
  });
  const steps: HeardStep[] = [];
  try {
    for (let n = 0; n < jobs; n += 1) {
      tap.steps.clear();
      const jobId = await submit(a.url, n);
      const results = client.iterate<{ jobProgress: { step: number | null } }>({
        query: WATCH,
        variables: { jobId },
      });
      let newest = 0;
      for await (const { data } of results) {
        const heard = performance.now();
        const step = data?.jobProgress.step ?? 0;
        const said = tap.steps.get(step);
        if (step > newest && step < STEPS && said !== undefined && n > 0) steps.push({ step, said, heard });
        newest = Math.max(newest, step);
      }
    }
  } finally {
    await client.dispose();
  }
  if (steps.length === 0) throw new Error('no job ran');
  return steps;
}

async function submit(url: string, n: number): Promise<string> {
  const answer = await fetch(`${url}/edit-image`, {
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
  return jobId;
}
