import { afterAll, beforeAll, expect, it } from 'vitest';
import { qwenEdit as run } from '../support/clients/cli.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { fleetOf } from '../support/fleet.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { until } from '../support/watch.ts';

let rig: Rig;
let engine: TestEngine;
let id: string;
beforeAll(async () => {
  rig = await startRig({ ENGINE_ALLOW: '127.0.0.1', ENGINE_PROBE: '300ms' });
  engine = await startTestEngine({ stepMs: 5 });
  id = new URL(engine.url).host;
});
afterAll(async () => {
  await rig.close();
  await engine.stop();
});

const engines = (...words: string[]) => run(['engines', ...words], { QWEN_EDIT_URL: rig.url });

/** The cells of an engine's line of `list`: id, state, source, device, workflows, reason. */
async function listed(): Promise<readonly string[] | undefined> {
  const { code, out } = await engines('list');
  expect(code).toBe(0);
  const lines = out.trimEnd().split('\n');
  return lines.map(line => line.split('\t')).find(cells => cells[0] === id);
}

it('adds an engine, drains it with a reason and back, and removes it', async () => {
  expect(await listed()).toBeUndefined();
  expect(await engines('add', engine.url)).toMatchObject({ code: 0, out: expect.stringContaining(id) });
  await until(async () => (await fleetOf(rig.url).stateOf(id)) === 'READY');
  expect((await listed())?.slice(2, 5)).toEqual([
    'OPERATOR',
    expect.any(String),
    expect.stringContaining('qwen'),
  ]);

  const drained = await engines('drain', id, '--reason', 'new driver', '--json');
  expect(JSON.parse(drained.out)).toMatchObject({ id, state: 'DRAINED' });
  const cells = (await listed()) ?? [];
  expect(cells[1]).toBe('DRAINED');
  expect(cells[5]).toContain('new driver');
  expect(await engines('drain', id, '--undo')).toMatchObject({ code: 0, out: expect.stringContaining(id) });
  await until(async () => (await fleetOf(rig.url).stateOf(id)) === 'READY');

  expect(await engines('remove', id)).toMatchObject({ code: 0, out: `${id}  removed\n` });
  await until(async () => (await fleetOf(rig.url).stateOf(id)) === null);
  expect(await listed()).toBeUndefined();
});

it('says why an engine is not added, drained or removed, and ends with 1', async () => {
  const foreign = await engines('add', 'http://gpu.example:8188');
  expect(foreign).toMatchObject({ code: 1, out: '' });
  expect(foreign.err).toContain('ENGINE_ALLOW');
  for (const words of [
    ['drain', 'none:1'],
    ['remove', 'none:1'],
  ]) {
    const unknown = await engines(...words);
    expect(unknown).toMatchObject({ code: 1, out: '' });
    expect(unknown.err).toMatch(/^none:1 {2}\S/);
  }
});
