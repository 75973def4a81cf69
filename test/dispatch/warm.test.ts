import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { DEFAULT_PREFIX } from '../../src/adapters/redis/keys.ts';
import { openStore as openGatewayStore } from '../../src/adapters/store.ts';
import { createLog } from '../../src/log.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { MODELS, workflowPerModel } from '../support/comfyui/workflow-per-model.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { submit } from '../support/requests.ts';
import { openSocket } from '../support/sockets.ts';
import { openStore, startRedis, withClient } from '../support/stores/redis.ts';
import { eventually, waitForEnd, waitUntil } from '../support/watch.ts';

const LOAD_MS = 2_000;
let workflows: Awaited<ReturnType<typeof workflowPerModel>>;
beforeAll(async () => {
  workflows = await workflowPerModel();
});
afterAll(() => workflows.remove());

/** An engine with room for one model. */
async function startEngine(stepMs = 5): Promise<TestEngine> {
  const engine = await startTestEngine({ stepMs, modelLoadMs: LOAD_MS });
  onTestFinished(() => engine.stop());
  return engine;
}

/** A gateway with one lane for each of the engines. */
async function startOn(
  engines: readonly TestEngine[],
  settings: Record<string, string> = {},
  open = openGatewayStore,
): Promise<Rig> {
  const all = {
    COMFYUI_URL: engines.map(({ url }) => url).join(),
    WORKFLOWS_DIR: workflows.folder,
    LANES_PER_ENGINE: '1',
    ...settings,
  };
  const rig = await startRig(all, createLog('silent'), open);
  onTestFinished(() => rig.close());
  return rig;
}

async function start(settings: Record<string, string> = {}, stepMs = 5) {
  const engine = await startEngine(stepMs);
  return { rig: await startOn([engine], settings), engine };
}

/** How often each engine loaded each model. */
const loadsOf = (engines: readonly TestEngine[]) =>
  Promise.all(engines.map(async engine => (await engine.stats()).loads));

const edit = (rig: Rig, model: number, steps = 1): Promise<string> =>
  submit(rig, { workflow: `model-${model}`, steps, prompt: `model ${model}` });

/** The models of the jobs in the order in which they started. */
async function orderOf(rig: Rig, models: readonly number[]): Promise<number[]> {
  const ids: string[] = [];
  for (const model of models) ids.push(await edit(rig, model));
  for (const id of ids) await waitForEnd(rig.url, id);
  const { data } = await rig.graphql<{
    jobs: { nodes: { startedAt: string; request: { workflow: string } }[] };
  }>('{ jobs(first: 20) { nodes { startedAt request { workflow } } } }');
  return (data?.jobs.nodes ?? [])
    .toSorted((one, other) => one.startedAt.localeCompare(other.startedAt))
    .map(({ request }) => Number(request.workflow.replace('model-', '')));
}

describe('an engine with one model in memory', () => {
  it('runs the jobs that need it first, and loads each other model once', { timeout: 60_000 }, async () => {
    const { rig, engine } = await start();
    expect(await orderOf(rig, [0, 1, 0, 1, 0])).toEqual([0, 0, 0, 1, 1]);
    expect((await engine.stats()).loads).toEqual({ [MODELS[0]]: 1, [MODELS[1]]: 1 });
  });

  it('keeps the order of the queue without patience', { timeout: 60_000 }, async () => {
    const { rig } = await start({ MODEL_PATIENCE: '0s' });
    expect(await orderOf(rig, [0, 1, 0])).toEqual([0, 1, 0]);
  });

  it('keeps the model of its run when the job behind that moves to another engine', {
    timeout: 60_000,
  }, async () => {
    const engines = [await startEngine(50), await startEngine(50)];
    const rig = await startOn(engines, { LANES_PER_ENGINE: '2' });
    const long = await edit(rig, 0, 100);
    await waitUntil(rig.url, long, ({ status }) => status === 'PROCESSING');
    const behind = [await edit(rig, 1), await edit(rig, 1), await edit(rig, 1)];
    for (const id of behind) await waitForEnd(rig.url, id);
    expect(await waitUntil(rig.url, long, () => true)).toMatchObject({ status: 'PROCESSING' });
    await waitForEnd(rig.url, long);
    await waitForEnd(rig.url, await edit(rig, 0));
    const loads = await loadsOf(engines);
    expect(loads).toContainEqual({ [MODELS[0]]: 1 });
    expect(loads).toContainEqual({ [MODELS[1]]: 1 });
  });

  it('is expected to load the model that a waiting job needs', { timeout: 60_000 }, async () => {
    // The long run outlasts several rounds of estimates, which come every half second.
    const { rig } = await start({}, 60);
    for (const model of [1, 0]) await waitForEnd(rig.url, await edit(rig, model));
    // It runs for long, with the model of the last one.
    const running = await edit(rig, 0, 100);
    const [other, same] = [await edit(rig, 1), await edit(rig, 0)];
    const socket = await openSocket(rig.url);
    onTestFinished(() => socket.socket.close());
    const query = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status etaSeconds } }';
    const etaOf = async (id: string): Promise<number> => {
      socket.send({ id, type: 'subscribe', payload: { query, variables: { id } } });
      for (;;) {
        const { payload } = await socket.receive('next', id);
        const { status, etaSeconds } = Object(payload).data.jobProgress;
        expect(status).toBe('QUEUED');
        if (etaSeconds !== null) return etaSeconds;
      }
    };
    expect(await etaOf(other)).toBeGreaterThan(0.9 * (LOAD_MS / 1000));
    expect(await etaOf(same)).toBeLessThan(0.9 * (LOAD_MS / 1000));
    await fetch(`${rig.url}/jobs/${running}`, { method: 'DELETE' });
    for (const id of [other, same]) await waitForEnd(rig.url, id);
  });
});

it('a job goes to the idle lane that has its model, also when another one asks first', {
  timeout: 60_000,
}, async () => {
  const engines = [await startEngine(), await startEngine()];
  // No lane is notified of an arrival, as before a notification has come: each asks when it becomes idle, and every two seconds.
  const rig = await startOn(engines, {}, async options => {
    const store = await openGatewayStore(options);
    return { ...store, ledger: { ...store.ledger, onWaiting: () => () => {} } };
  });
  const ids = [await edit(rig, 0), await edit(rig, 1)];
  for (const id of ids) await waitForEnd(rig.url, id);
  const before = await loadsOf(engines);
  const running = await edit(rig, 1, 100);
  await waitUntil(rig.url, running, ({ status }) => status === 'PROCESSING');
  const waiting = await edit(rig, 0);
  for (const id of [running, waiting]) await waitForEnd(rig.url, id);
  expect(await loadsOf(engines)).toEqual(before);
});

/** How many lanes of idle engines each gateway has. */
async function parked(url: string): Promise<Map<string, number>> {
  const entries = await withClient(url, client => client.hgetall(`${DEFAULT_PREFIX}:parked`));
  const groups = z.array(z.object({ engines: z.number() }));
  return new Map(
    Object.entries(entries).map(([gateway, text]) => [
      gateway,
      groups.parse(JSON.parse(text)).reduce((sum, group) => sum + group.engines, 0),
    ]),
  );
}

describe('two gateways of a Redis', () => {
  /** Three engines with room for one model and one lane each, and a gateway that takes their lanes first. */
  async function startBoth() {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const engines = await Promise.all(MODELS.map(() => startEngine()));
    const start = () => startOn(engines, { REDIS_URL: redis.url, LEASE: '2s', ENGINE_PROBE: '300ms' });
    const first = await start();
    /** Runs a job of each model, one after another. */
    const runEach = async (rig: Rig, models: readonly number[]): Promise<void> => {
      for (const model of models) await waitForEnd(rig.url, await edit(rig, model));
    };
    await runEach(first, [0, 1, 2]);
    return { engines, redisUrl: redis.url, first, start, runEach };
  }

  it.each([
    ['ran beside the first', true],
    ['starts after the first', false],
  ])(
    'share what engines have loaded: one that %s loads nothing again',
    async (_, beside) => {
      const { engines, redisUrl, first, start, runEach } = await startBoth();
      const before = await loadsOf(engines);
      expect(before.map(Object.values)).toEqual([[1], [1], [1]]);
      const holders = await parked(redisUrl);
      const earlier = beside ? await start() : null;
      await first.close();
      const second = earlier ?? (await start());
      // A lane that is taken earlier than others takes any job.
      await eventually(
        () => parked(redisUrl),
        now => [...now].some(([gateway, lanes]) => !holders.has(gateway) && lanes === engines.length),
      );
      // In another order than that of the engines, which a lane without a model would take them in.
      for (const order of [
        [2, 1, 0],
        [1, 0, 2],
      ]) {
        await runEach(second, order);
        expect(await loadsOf(engines)).toEqual(before);
      }
    },
    90_000,
  );

  it('leave a job to the one whose idle engine has its model', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const [warm, ...cold] = [await startEngine(), await startEngine(), await startEngine()];
    const first = await startOn([warm], { REDIS_URL: redis.url });
    await waitForEnd(first.url, await edit(first, 0));
    const second = await startOn(cold, { REDIS_URL: redis.url });
    await eventually(
      () => parked(redis.url),
      now => [...now.values()].sort().join() === '1,2',
    );
    await waitForEnd(second.url, await edit(second, 0));
    expect(await loadsOf([warm, ...cold])).toEqual([{ [MODELS[0]]: 1 }, {}, {}]);
  }, 60_000);

  it('take nothing for loaded on an engine that was restarted', async () => {
    const { engines, redisUrl } = await startBoth();
    const store = await openStore(redisUrl, { prefix: DEFAULT_PREFIX });
    onTestFinished(() => store.close());
    const known = async () => (await store.lastClaims.read()).map(({ engine }) => engine).sort();
    const ids = engines.map(({ url }) => new URL(url).host).sort();
    expect(await known()).toEqual(ids);
    const [restarted] = engines;
    await restarted?.fault({ restart: true, restartMs: 1_000 });
    const left = ids.filter(id => !restarted?.url.endsWith(id));
    await eventually(known, found => found.length === left.length);
    expect(await known()).toEqual(left);
  }, 90_000);
});
