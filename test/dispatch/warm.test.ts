import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startTestEngine } from '../support/comfyui/sandbox.ts';
import { MODELS, workflowPerModel } from '../support/comfyui/workflow-per-model.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { submit } from '../support/requests.ts';
import { openSocket } from '../support/sockets.ts';
import { waitForEnd } from '../support/watch.ts';

const LOAD_MS = 2_000;
let workflows: Awaited<ReturnType<typeof workflowPerModel>>;
beforeAll(async () => {
  workflows = await workflowPerModel();
});
afterAll(() => workflows.remove());

/** One engine with room for one model, and one lane. */
async function start(settings: Record<string, string> = {}, stepMs = 5) {
  const engine = await startTestEngine({ stepMs, modelLoadMs: LOAD_MS });
  onTestFinished(() => engine.stop());
  const rig = await startRig({
    COMFYUI_URL: engine.url,
    WORKFLOWS_DIR: workflows.folder,
    LANES_PER_ENGINE: '1',
    ...settings,
  });
  onTestFinished(() => rig.close());
  return { rig, engine };
}

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
