import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { createTurns } from '../../src/concurrency/event-loop.ts';
import { createInventory } from '../../src/dispatch/engines/inventory.ts';
import { createCatalog } from '../../src/workflows/files/catalog.ts';
import { loadWorkflows } from '../../src/workflows/files/load.ts';
import { classesOf, type Workflow } from '../../src/workflows/workflow.ts';
import { type Habits, startHabitProxy } from '../support/comfyui/habits.ts';
import { startTestSandbox } from '../support/comfyui/sandbox.ts';
import {
  DESCRIBED_CLASSES,
  SHIPPED_FOLDER,
  smallWorkflow,
  workflowOf,
} from '../support/comfyui/workflows.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { postGraphQL, submit } from '../support/requests.ts';
import { waitForEnd } from '../support/watch.ts';

const answer = z.object({
  engines: z.array(z.object({ state: z.string() })),
  workflows: z.array(z.object({ name: z.string(), runnable: z.boolean() })),
});

async function runnable(rig: Rig): Promise<string[]> {
  const { data } = await postGraphQL(rig.url, '{ engines { state } workflows { name runnable } }');
  return answer.parse(data).workflows.flatMap(workflow => (workflow.runnable ? [workflow.name] : []));
}

/** A gateway in front of a sandbox behind a proxy with these answers. Lists the requests for node classes. */
async function start(answers: Habits['answers']) {
  const sandbox = await startTestSandbox({ missingNodes: ['NunchakuQwenImageDiTLoader'] });
  const proxy = await startHabitProxy(sandbox.url, { answers });
  onTestFinished(() => proxy.stop());
  const rig = await startRig({ COMFYUI_URL: proxy.url });
  onTestFinished(() => rig.close());
  const asked = () => proxy.requests.filter(request => request.startsWith('GET /object_info'));
  return { rig, asked };
}

describe('the node classes of an engine', () => {
  it('are asked for by name, and only those of the workflows', async () => {
    const { workflows } = await loadWorkflows(SHIPPED_FOLDER);
    const { rig, asked } = await start([]);
    const able = workflows.map(({ name }) => name).filter(name => !name.endsWith('nunchaku'));
    await expect.poll(() => runnable(rig), { interval: 20 }).toEqual(able);
    const names = new Set(workflows.flatMap(classesOf));
    expect(asked().toSorted()).toEqual([...names].map(name => `GET /object_info/${name}`).toSorted());
  });

  it.each([
    ['has no path for one class', { path: /^\/object_info\/./, status: 404 }],
    ['cannot describe one of them', { path: /^\/object_info\/KSampler$/, status: 500 }],
  ])('are read from the list of all where it %s', async (_what, habit) => {
    const { rig, asked } = await start([habit]);
    expect(await waitForEnd(rig.url, await submit(rig))).toMatchObject({ status: 'COMPLETED' });
    expect(asked()).toContain('GET /object_info');
  });
});

describe('createInventory', () => {
  /** A small workflow that encodes with this class. */
  function encodingWith(version: string, encoder: string): Workflow {
    const { graph, manifest } = smallWorkflow();
    const node = { ...graph['4'], class_type: encoder, inputs: graph['4']?.inputs ?? {} };
    const inputs = { ...Object(manifest.inputs), prompt: { node: encoder, input: 'prompt' } };
    return { ...workflowOf({ ...graph, '4': node }, { ...manifest, inputs }), version };
  }

  it('knows the classes of earlier versions too, and says nothing of a workflow whose classes it has not read', async () => {
    const has = new Map<string, unknown>(Object.entries(DESCRIBED_CLASSES));
    has.set('Encode', {}).set('EncodePlus', {}).set('KSampler', {}).set('LoadImage', {}).set('SaveImage', {});
    const [first, second] = [encodingWith('1', 'Encode'), encodingWith('2', 'EncodePlus')];
    const catalog = createCatalog({ workflows: [first], broken: [] }, null, () => true);
    const inventory = createInventory(
      {
        nodeClasses: async names =>
          Object.fromEntries([...names].flatMap(name => (has.has(name) ? [[name, has.get(name)]] : []))),
      },
      catalog,
      createTurns(),
    );
    expect(inventory.problemsOf(first)).toBeNull();
    await inventory.read();
    const kinds = (workflow: Workflow) => inventory.problemsOf(workflow)?.map(({ kind }) => kind);
    expect(kinds(first)).not.toContain('node-missing');

    catalog.reload({ workflows: [second], broken: [] });
    expect(inventory.problemsOf(second)).toBeNull();
    expect([...inventory.problems()]).toEqual([]);
    await inventory.read();
    expect(kinds(first)).not.toContain('node-missing');
    expect(kinds(second)).not.toContain('node-missing');

    const before = inventory.problemsOf(second);
    await inventory.read();
    // Nothing changed, so nothing is checked again.
    expect(inventory.problemsOf(second)).toBe(before);

    has.delete('Encode');
    await inventory.read();
    expect(inventory.problemsOf(first)).toContainEqual({ kind: 'node-missing', classType: 'Encode' });
    expect(kinds(second)).not.toContain('node-missing');
  });
});
