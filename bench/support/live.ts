import { mkdtemp, rm } from 'node:fs/promises';
import { constants, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Client, createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { startRedis } from '../../test/support/stores/redis.ts';
import { startBare } from './bare.ts';
import { NO_ENGINE, type ServerProcess, startEngine, startGateway } from './processes.ts';
import { picture } from './rig.ts';
import { STEPS, type Tap, tapEngine } from './tap.ts';

/** Of the engine. */
export const STEP_MS = 15;
const WATCH = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { step } }';

/** Processes between an engine and a watcher: one has the engine, another one the watcher, and a Redis is between them. */
export interface Chain {
  readonly runner: ServerProcess;
  readonly watched: ServerProcess;
  /** Starts the nth job; returns the id to watch. */
  submit(n: number): Promise<string>;
}

export interface LiveStage {
  readonly redisUrl: string;
  /** Three gateways: jobs are submitted on A, run by B, which alone has an engine, and watched on C. */
  readonly ours: Chain;
  /** The same processes and sockets without the work of gateways: what it costs to wake them one after another. */
  readonly bare: Chain;
  /** Between the runners and their engine. */
  readonly tap: Tap;
}

/** Starts them for the work and stops them afterwards. A job of ours was run. `flags`: of Node, for all of them. */
export async function withLiveStage<T>(
  work: (stage: LiveStage) => Promise<T>,
  flags: readonly string[] = [],
): Promise<T> {
  const pictures = await mkdtemp(join(tmpdir(), 'bench-pictures-'));
  const redis = await startRedis();
  const engine = await startEngineAside();
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
    const runner = await start(tap.url);
    const watched = await start(NO_ENGINE);
    const ours = { runner, watched, submit: (n: number) => submit(a.url, n) };
    const options = { redisUrl: redis.url, engineUrl: engine.url, tapUrl: tap.url, flags };
    const bare = await startBare(options, () => runOne(tap, ours));
    started.push(bare.runner, bare.watched);
    return await work({ redisUrl: redis.url, ours, bare, tap });
  } finally {
    await Promise.all(started.map(server => server.stop()));
    await tap.stop();
    await engine.stop();
    await redis.stop();
    await rm(pictures, { recursive: true, force: true });
  }
}

/**
 * A real engine has a machine of its own. With the usual flags the sandbox's garbage collections take two cores for 8 ms, some of them
 * right after it has sent a step: on two cores the message waits for that. So they take one, and everything else goes first.
 */
async function startEngineAside(): Promise<ServerProcess> {
  const engine = await startEngine(STEP_MS, { flags: ['--single-threaded-gc'] });
  if (engine.child.pid !== undefined) setPriority(engine.child.pid, constants.priority.PRIORITY_LOW);
  return engine;
}

/** A step that its watcher heard of. */
export interface HeardStep {
  readonly step: number;
  /** When the engine's event passed the tap, and when the watcher had the result, by `performance.now()`. */
  readonly said: number;
  readonly heard: number;
}

/** The ways from the engine to a watcher that are measured. */
type Way = 'ours' | 'bare';

/**
 * Runs so many jobs over both chains, one after another, the chains in turn: both meet the same machine, however busy it is. Returns
 * the steps of all jobs but the first of each chain, which warms up. Rejects when one has no steps.
 */
export async function hearSteps(
  tap: Tap,
  chains: Readonly<Record<Way, Chain>>,
  jobs: number,
): Promise<Record<Way, HeardStep[]>> {
  const clients = { ours: watcherOf(chains.ours), bare: watcherOf(chains.bare) };
  const heard: Record<Way, HeardStep[]> = { ours: [], bare: [] };
  try {
    for (let n = 0; n < jobs; n += 1) {
      for (const way of ['ours', 'bare'] as const) {
        const steps = await stepsOfOne(tap, chains[way], clients[way], n);
        if (n > 0) heard[way].push(...steps);
      }
    }
  } finally {
    await clients.ours.dispose();
    await clients.bare.dispose();
  }
  return heard;
}

function watcherOf({ watched }: Chain): Client {
  const url = `${watched.url.replace('http', 'ws')}/graphql`;
  return createClient({ url, webSocketImpl: WebSocket, lazy: false });
}

async function runOne(tap: Tap, chain: Chain): Promise<void> {
  const client = watcherOf(chain);
  try {
    await stepsOfOne(tap, chain, client, 0);
  } finally {
    await client.dispose();
  }
}

type Progress = { jobProgress: { step: number | null } };

/** Runs the nth job. Its last step is left out: the end of the job may replace it. */
async function stepsOfOne(tap: Tap, chain: Chain, client: Client, n: number): Promise<HeardStep[]> {
  tap.steps.clear();
  const variables = { jobId: await chain.submit(n) };
  const steps: HeardStep[] = [];
  let newest = 0;
  for await (const { data } of client.iterate<Progress>({ query: WATCH, variables })) {
    const heard = performance.now();
    const step = data?.jobProgress.step ?? 0;
    const said = tap.steps.get(step);
    if (step > newest && step < STEPS && said !== undefined) steps.push({ step, said, heard });
    newest = Math.max(newest, step);
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
