import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { createRandom, type Random } from '../support/random.ts';
import { startRedis } from '../support/stores/redis.ts';
import { watchOverWebSocket } from '../support/watch.ts';

/** `CHAOS_SEED=… CHAOS_JOBS=300 npx vitest run test/chaos/chaos.test.ts` replays the choices of a run, with more jobs; what meets what still depends on time. */
const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const JOBS = Number(process.env.CHAOS_JOBS ?? 100);
const GATEWAY_KILLS = 4;
const SUBMITTERS = 2;

const closers: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

interface Outcome {
  id: string;
  status: string;
  attempt: number;
  promptId: string | null;
  error: { code: string } | null;
}

/** What may befall an engine, and what ends it. */
const FAULTS: readonly { name: string; begin: Record<string, unknown>; lastsMs: number }[] = [
  { name: 'sockets cut', begin: { dropSockets: true }, lastsMs: 0 },
  { name: 'sockets deaf', begin: { deafSockets: true }, lastsMs: 300 },
  { name: 'events lost', begin: { loseRate: 0.4, seed: 1 }, lastsMs: 500 },
  { name: 'ends not told', begin: { loseEvents: ['execution_success', 'executing_null'] }, lastsMs: 500 },
  { name: 'late history', begin: { lateHistory: 150 }, lastsMs: 600 },
  { name: 'slow answers', begin: { slowHttp: 40 }, lastsMs: 400 },
  { name: 'refused connections', begin: { refuseHttp: 250 }, lastsMs: 300 },
  { name: 'answer of a prompt lost', begin: { losePromptAnswer: 1 }, lastsMs: 0 },
  { name: 'out of memory', begin: { outOfMemory: 1 }, lastsMs: 0 },
  { name: 'restart', begin: { restart: true, restartMs: 200 }, lastsMs: 0 },
  {
    name: 'a new machine in its place before an image is fetched',
    begin: {
      beforeRequest: { request: 'GET /view', restart: true, emptyFolders: ['input', 'output', 'temp'] },
    },
    lastsMs: 500,
  },
];

describe(`chaos, seed ${seed}`, () => {
  it(`one gateway, ${JOBS} jobs over three engines: each ends as its faults explain, none is stuck, swapped or run twice`, async () => {
    await withStage(async ({ random, start, engines, gateways, pictures, ids, submitted }) => {
      await start();
      const over = new AbortController();
      const faults = befall(engines, random, over.signal);
      const submitting = submitAll(ids, gateways, pictures, random);
      for (let kill = 0; kill < GATEWAY_KILLS; kill += 1) {
        await submitted((kill + 1) / (GATEWAY_KILLS + 1));
        await gateways.pop()?.end('SIGKILL');
        await start();
      }
      await submitting;
      over.abort();
      await faults;
    }, {});
  }, 200_000);

  it(`three gateways and a Redis, ${JOBS} jobs over three engines: the same, while all are killed, stopped and restarted`, async () => {
    const redis = await startRedis({ aof: true });
    closers.push(() => redis.stop());
    await withStage(
      async ({ random, start, engines, gateways, pictures, ids, submitted }) => {
        await Promise.all([start(), start(), start()]);
        const over = new AbortController();
        const faults = befall(engines, random, over.signal);
        const submitting = submitAll(ids, gateways, pictures, random);
        for (let blow = 0; blow < BLOWS.length; blow += 1) {
          await submitted((blow + 1) / (BLOWS.length + 1));
          switch (BLOWS[blow]) {
            case 'kill':
              await gateways.shift()?.end('SIGKILL');
              await start();
              break;
            case 'stop': {
              const stopped = random.pick(gateways);
              stopped.child.kill('SIGSTOP');
              await delay(3_000);
              stopped.child.kill('SIGCONT');
              break;
            }
            case 'redis':
              await redis.kill();
              await delay(500);
              await redis.restart();
              break;
          }
        }
        await submitting;
        over.abort();
        await faults;
      },
      { REDIS_URL: redis.url, LEASE: '2s' },
    );
  }, 200_000);
});

/** What befalls the gateways of the second run, in this order, spread over the submits. */
const BLOWS = ['kill', 'redis', 'stop', 'kill', 'redis', 'kill'] as const;

interface Stage {
  readonly random: Random;
  readonly engines: readonly TestEngine[];
  /** Those that are up. */
  readonly gateways: GatewayProcess[];
  readonly pictures: string;
  /** Jobs whose submit was answered. */
  readonly ids: string[];
  start(): Promise<void>;
  /** Resolves when this share of the jobs was submitted. */
  submitted(share: number): Promise<void>;
}

/** Sets three engines up, lets `act` do its worst, and then holds every job against what was promised. */
async function withStage(
  act: (stage: Stage) => Promise<void>,
  environment: Record<string, string>,
): Promise<void> {
  const random = createRandom(seed);
  const dataDir = await mkdtemp(join(tmpdir(), 'chaos-'));
  closers.push(() => rm(dataDir, { recursive: true, force: true }));
  const pictures = await startImageServer();
  closers.push(() => pictures.close());
  const engines: TestEngine[] = [];
  for (let n = 0; n < 3; n += 1) {
    const engine = await startTestEngine({ stepMs: 3 });
    closers.push(() => engine.stop());
    engines.push(engine);
  }
  const gateways: GatewayProcess[] = [];
  closers.push(() => Promise.all(gateways.map(gateway => gateway.end('SIGKILL'))));
  const ids: string[] = [];
  await act({
    random,
    engines,
    gateways,
    pictures: pictures.url,
    ids,
    async start() {
      const gateway = await startGatewayProcess(dataDir, {
        COMFYUI_URL: engines.map(({ url }) => url).join(','),
        WATCHDOG: '150ms',
        ENGINE_GRACE: '2s',
        ENGINE_PROBE: '300ms',
        ...environment,
      });
      gateways.push(gateway);
    },
    async submitted(share) {
      while (ids.length < Math.floor(share * JOBS)) await delay(20);
    },
  });
  await Promise.all(engines.map(engine => engine.fault({})));
  await judge(random.pick(gateways).url, ids, engines);
}

async function judge(url: string, ids: readonly string[], engines: readonly TestEngine[]): Promise<void> {
  const outcomes: Outcome[] = [];
  for (const id of ids) {
    await watchOverWebSocket(url, id);
    outcomes.push(await outcomeOf(url, id));
  }
  const executed = new Map<string, number>();
  for (const engine of engines) {
    for (const [promptId, times] of Object.entries((await engine.stats()).executed)) {
      executed.set(promptId, (executed.get(promptId) ?? 0) + times);
    }
  }
  const completed = outcomes.filter(({ status }) => status === 'COMPLETED');
  const failed = outcomes.filter(({ status }) => status === 'ERROR');
  const attempts = outcomes.reduce((sum, { attempt }) => sum + attempt, 0);
  let claims = 0;
  for (const { id } of outcomes) claims += await claimsOf(url, id);
  console.log(
    `seed ${seed}: ${completed.length} completed, ${failed.length} failed, ${claims} claims, ${attempts} attempts, ${executed.size} executions`,
  );

  expect(completed.length + failed.length).toBe(JOBS);
  for (const { error } of failed) expect(['ENGINE_LOST', 'OUT_OF_MEMORY']).toContain(error?.code);
  // No prompt ran twice, and none that no lane claimed (an engine may begin one and restart before an event says so); those of submits that were stored and, since
  // the gateway was killed, not answered, are not among ours.
  expect([...executed.values()].filter(times => times !== 1)).toEqual([]);
  expect(executed.size).toBeLessThanOrEqual(claims + SUBMITTERS * (GATEWAY_KILLS + BLOWS.length));
  for (const { id, promptId } of completed) {
    expect(executed.get(promptId ?? '')).toBe(1);
    expect(await belongsTo(url, id)).toBe(true);
  }
  expect(completed.length).toBeGreaterThan(JOBS * 0.8);
}

/** Submits until as many as wanted were answered; an answer that does not come promises nothing. */
async function submitAll(
  ids: string[],
  gateways: readonly GatewayProcess[],
  pictures: string,
  random: Random,
): Promise<void> {
  const submitter = async (): Promise<void> => {
    while (ids.length < JOBS) {
      const gateway = gateways[random.integer(0, Math.max(0, gateways.length - 1))];
      const id = gateway === undefined ? null : await submit(gateway.url, pictures, random).catch(() => null);
      if (id === null) await delay(50);
      else if (ids.length < JOBS) ids.push(id);
    }
  };
  await Promise.all(Array.from({ length: SUBMITTERS }, submitter));
}

async function submit(url: string, pictures: string, random: Random): Promise<string> {
  const steps = random.integer(1, 6);
  const answer = await fetch(`${url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      image1_url: `${pictures}/red.png`,
      prompt: `job ${steps}`,
      steps,
      megapixels: 0.1,
    }),
    // One that is stopped answers when it goes on: nobody waits for that.
    signal: AbortSignal.timeout(2_000),
  });
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
  return (await answer.json()).job_id;
}

async function befall(engines: readonly TestEngine[], random: Random, signal: AbortSignal): Promise<void> {
  const pause = (ms: number): Promise<unknown> => delay(ms, undefined, { signal }).catch(() => undefined);
  while (!signal.aborted) {
    const engine = random.pick(engines);
    const fault = random.pick(FAULTS);
    // A control call may itself fall into a restart.
    await engine.fault(fault.begin).catch(() => undefined);
    await pause(fault.lastsMs + random.integer(50, 250));
    await engine.fault({}).catch(() => undefined);
  }
}

async function outcomeOf(url: string, id: string): Promise<Outcome> {
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      query: 'query ($id: ID!) { job(id: $id) { id status attempt promptId error { code } } }',
      variables: { id },
    }),
  });
  return (await answer.json()).data.job;
}

/** How often lanes claimed the job, according to its log. */
async function claimsOf(url: string, id: string): Promise<number> {
  const answer = await fetch(`${url}/debug/job/${id}`);
  const { events } = (await answer.json()) as { events: { event: string }[] };
  return events.filter(({ event }) => event === 'claimed').length;
}

/** ComfyUI writes the graph into the PNG, and our prefix in it names the job. */
async function belongsTo(url: string, id: string): Promise<boolean> {
  const answer = await fetch(`${url}/download/${id}?metadata=keep`);
  return Buffer.from(await answer.arrayBuffer()).includes(`api_${id}`);
}
