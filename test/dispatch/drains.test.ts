import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { postGraphQL, submit } from '../support/requests.ts';
import { startRedis } from '../support/stores/redis.ts';
import { waitForEnd } from '../support/watch.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function startEngine(): Promise<TestEngine> {
  const engine = await startTestEngine();
  closers.push(() => engine.stop());
  return engine;
}

/** Starts a gateway; the test may close it before its end. */
async function start(settings: Record<string, string>): Promise<{ rig: Rig; close(): Promise<void> }> {
  const rig = await startRig({ ENGINE_PROBE: '300ms', ...settings });
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= rig.close();
    return closing;
  };
  closers.push(close);
  return { rig, close };
}

async function dataDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'drains-'));
  closers.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const answer = z.object({ engines: z.array(z.object({ id: z.string(), state: z.string() })) });

async function stateOf(rig: Rig): Promise<string | undefined> {
  const { data } = await postGraphQL(rig.url, '{ engines { id state } }');
  return answer.parse(data).engines[0]?.state;
}

/** What the probe of readiness says. */
async function readyEngines(rig: Rig): Promise<unknown> {
  return (await (await fetch(`${rig.url}/readyz`)).json()).engines.ready;
}

async function setDrained(rig: Rig, engine: TestEngine, drained: boolean): Promise<void> {
  const { data } = await postGraphQL(
    rig.url,
    'mutation ($id: ID!, $drained: Boolean!) { setEngineState(id: $id, drained: $drained) { ... on EditEngine { id } } }',
    { id: new URL(engine.url).host, drained },
  );
  expect(data).toEqual({ setEngineState: { id: new URL(engine.url).host } });
}

describe('a drained engine', () => {
  it('is drained on every gateway of a Redis within a second, and after a restart', async () => {
    const redis = await startRedis({ aof: true });
    closers.push(() => redis.stop());
    const engine = await startEngine();
    const settings = {
      COMFYUI_URL: engine.url,
      REDIS_URL: redis.url,
      LEASE: '2s',
      // Either runs the job in the end.
      DATA_DIR: await dataDir(),
    };
    const [a, b] = [await start(settings), await start(settings)];
    await expect.poll(() => stateOf(b.rig)).toBe('READY');
    await setDrained(a.rig, engine, true);
    expect(await stateOf(a.rig)).toBe('DRAINED');
    await expect.poll(() => stateOf(b.rig), { timeout: 1_000, interval: 20 }).toBe('DRAINED');
    expect(await readyEngines(b.rig)).toBe(0);

    // No gateway gives it a job.
    const id = await submit(a.rig);
    await b.close();
    const c = await start(settings);
    expect(await stateOf(c.rig)).toBe('DRAINED');
    expect((await engine.stats()).prompts).toBe(0);

    // Also after Redis was away.
    await redis.kill();
    await redis.restart();
    expect(await stateOf(c.rig)).toBe('DRAINED');
    await expect
      .poll(() =>
        setDrained(c.rig, engine, false).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    await expect.poll(() => stateOf(a.rig)).toBe('READY');
    expect(await waitForEnd(a.rig.url, id)).toMatchObject({ status: 'COMPLETED' });
  }, 60_000);

  it('stays drained when a gateway that runs alone is started again', async () => {
    const engine = await startEngine();
    const settings = { COMFYUI_URL: engine.url, DATA_DIR: await dataDir() };
    const first = await start(settings);
    await expect.poll(() => stateOf(first.rig)).toBe('READY');
    await setDrained(first.rig, engine, true);
    await first.close();
    const second = await start(settings);
    expect(await stateOf(second.rig)).toBe('DRAINED');
    const id = await submit(second.rig);
    await setDrained(second.rig, engine, false);
    expect(await waitForEnd(second.rig.url, id)).toMatchObject({ status: 'COMPLETED' });
  });
});
