import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { type HabitProxy, type Habits, startHabitProxy } from '../support/comfyui/habits.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type GatewayProcess, type Rig, startGatewayProcess, startRig } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { fetchJson, submit } from '../support/requests.ts';
import { waitForEnd, waitUntil } from '../support/watch.ts';

/** An engine with habits, a gateway that can be killed, and one that follows it on the same data. */
async function stage(context: TestContext, habits: Partial<Habits>) {
  const engine: TestEngine = await startTestEngine({ stepMs: 100 });
  context.onTestFinished(() => engine.stop());
  const proxy: HabitProxy = await startHabitProxy(engine.url, habits);
  context.onTestFinished(() => proxy.stop());
  const images = await startImageServer();
  context.onTestFinished(() => images.close());
  const dataDir = await mkdtemp(join(tmpdir(), 'own-ids-'));
  context.onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const settings = { COMFYUI_URL: proxy.url, WATCHDOG: '200ms', ENGINE_PROBE: '300ms' };
  async function start(): Promise<GatewayProcess> {
    const gateway = await startGatewayProcess(dataDir, settings);
    context.onTestFinished(async () => void (await gateway.end('SIGKILL')));
    return gateway;
  }
  async function resume(): Promise<Rig> {
    const rig = await startRig({ ...settings, DATA_DIR: dataDir });
    context.onTestFinished(() => rig.close());
    return rig;
  }
  return { engine, proxy, images, start, resume };
}

// Processes start slowly on a busy machine.
const TIMEOUT_MS = 60_000;

describe.concurrent('a gateway that is killed, on an engine that numbers its prompts itself', {
  timeout: TIMEOUT_MS,
}, () => {
  it('resumes the run under the engine’s id', async context => {
    const { engine, proxy, images, start, resume } = await stage(context, { ownPromptIds: true });
    const first = await start();
    const id = await submit({ url: first.url, images }, { steps: 100 });
    await waitUntil(first.url, id, ({ step }) => (step ?? 0) >= 2);
    await first.end('SIGKILL');
    const second = await resume();
    await waitUntil(second.url, id, ({ step }) => step !== null);
    expect(await waitForEnd(second.url, id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(Object.entries((await engine.stats()).executed)).toEqual([[proxy.promptIds[0], 1]]);
    expect((await fetchJson(`${second.url}/status/${id}`)).body.prompt_id).toBe(proxy.promptIds[0]);
  });

  it.for<[string, number]>([
    ['while the prompt runs', 100],
    ['and the prompt has ended meanwhile', 1],
  ])('before it got the engine’s id, %s: finds the prompt by its client id', async ([, steps], context) => {
    const { engine, proxy, images, start, resume } = await stage(context, {
      ownPromptIds: true,
      holdPromptAnswers: 1,
    });
    const first = await start();
    const id = await submit({ url: first.url, images }, { steps });
    await context.expect.poll(() => proxy.promptIds.length).toBe(1);
    await first.end('SIGKILL');
    if (steps === 1) {
      await context.expect.poll(async () => Object.keys((await engine.stats()).completed).length).toBe(1);
    }
    const second = await resume();
    expect(await waitForEnd(second.url, id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(Object.values((await engine.stats()).executed)).toEqual([1]);
  });
});
