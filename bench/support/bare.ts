import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Chain } from './live.ts';
import { startServer } from './processes.ts';

export interface BareOptions {
  readonly redisUrl: string;
  readonly engineUrl: string;
  /** Where the engine's events are read. */
  readonly tapUrl: string;
  readonly flags: readonly string[];
}

/** A graph of ComfyUI, by node. */
type Graph = Record<string, { readonly inputs: Record<string, unknown> }>;

/**
 * Starts the chain without gateways (`bare-runner.ts`, `bare-watched.ts`). `runOurs` runs a job of ours: the engine gets its graph
 * again for each job, with another seed, and what is stored and published for a step is as long as what the job's was.
 */
export async function startBare(options: BareOptions, runOurs: () => Promise<unknown>): Promise<Chain> {
  const { redisUrl, engineUrl, tapUrl, flags } = options;
  const { graph, record, message } = await sampleDuring(runOurs, options);
  const [client, channel] = [randomUUID(), 'bare'];
  const watchedArgs = ['--redis', redisUrl, '--channel', channel];
  const watched = await startServer(new URL('bare-watched.ts', import.meta.url), {
    args: watchedArgs,
    flags,
  });
  const runner = await startServer(new URL('bare-runner.ts', import.meta.url), {
    args: [
      ...['--redis', redisUrl, '--channel', channel, '--engine', tapUrl, '--client', client],
      ...['--record', String(record), '--message', String(message)],
    ],
    flags,
  });
  return {
    runner,
    watched,
    async submit(n) {
      const answer = await fetch(`${engineUrl}/prompt`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: withSeed(graph, n), client_id: client }),
      });
      const { prompt_id: promptId }: { prompt_id?: string } = await answer.json();
      if (promptId === undefined) throw new Error('the engine does not run the graph again');
      return promptId;
    },
  };
}

/** What a job of ours is to the processes around the gateway. */
interface Sample {
  readonly graph: Graph;
  /** Characters of what a step rewrites of its job, and of the message that announces it. */
  readonly record: number;
  readonly message: number;
}

/** Of the first step that is announced while `run` runs. */
async function sampleDuring(
  run: () => Promise<unknown>,
  { redisUrl, engineUrl }: BareOptions,
): Promise<Sample> {
  const redis = new Redis(redisUrl);
  let sample: Promise<Sample> | null = null;
  redis.on('pmessage', (_pattern, _channel, message: string) => {
    const { state }: { state?: { step: number | null } } = JSON.parse(message);
    if (state?.step == null) return;
    const lengths = { record: JSON.stringify(state).length, message: message.length };
    sample ??= runningGraph(engineUrl).then(graph => ({ graph, ...lengths }));
  });
  try {
    await redis.psubscribe('*:feed:*');
    await run();
  } finally {
    redis.disconnect();
  }
  if (sample === null) throw new Error('no step was announced');
  return sample;
}

/** What the engine executes (`GET /queue`). */
async function runningGraph(engineUrl: string): Promise<Graph> {
  const queue = await fetch(`${engineUrl}/queue`);
  const { queue_running: running }: { queue_running: [number, string, Graph][] } = await queue.json();
  const [first] = running;
  if (first === undefined) throw new Error('the engine executes nothing');
  return first[2];
}

/** So that the engine's sampler runs again. */
function withSeed(graph: Graph, seed: number): Graph {
  const entries = Object.entries(graph).map(([id, node]) => [
    id,
    'seed' in node.inputs ? { ...node, inputs: { ...node.inputs, seed } } : node,
  ]);
  return Object.fromEntries(entries);
}
