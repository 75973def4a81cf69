import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadWorkflows } from '../../../src/workflows/files/load.ts';
import type { Graph } from '../../../src/workflows/graph.ts';
import { smallWorkflow } from '../../support/comfyui/workflows.ts';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'workflows-'));
});

afterEach(() => rm(dir, { recursive: true }));

async function write(name: string, files: Record<string, unknown>): Promise<void> {
  await mkdir(join(dir, name));
  for (const [file, content] of Object.entries(files)) {
    await writeFile(join(dir, name, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
}

/** The problems of the small workflow after a change to its graph or manifest. */
async function problemsOf(
  change: (files: { graph: Graph; manifest: Record<string, unknown> }) => void,
): Promise<string[]> {
  const files = smallWorkflow();
  change(files);
  await write('small', { 'graph.json': files.graph, 'workflow.json': files.manifest });
  return (await loadWorkflows(dir)).broken[0]?.problems ?? [];
}

const inGraph = (id: string, changes: Record<string, unknown>) => (files: { graph: Graph }) => {
  const node = files.graph[id];
  if (node !== undefined) Object.assign(node.inputs, changes);
};

/** Puts a value at a path of the manifest. */
const inManifest = (path: string, value: unknown) => (files: { manifest: Record<string, unknown> }) => {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let place: unknown = files.manifest;
  for (const key of keys)
    place = typeof place === 'object' && place !== null ? Reflect.get(place, key) : null;
  if (typeof place !== 'object' || place === null) throw new Error(`no ${path}`);
  if (value === undefined) Reflect.deleteProperty(place, last);
  else Reflect.set(place, last, value);
};

const strength = { name: 'strength', type: 'number', default: 1, target: { node: '4', input: 'strength' } };

describe('loading a broken workflow', () => {
  it('finds no problem in the unchanged workflow', async () => {
    expect(await problemsOf(() => undefined)).toEqual([]);
  });

  it.each<[string, Parameters<typeof problemsOf>[0], string]>([
    [
      'a mask without its node',
      inManifest('mask', { target: { node: 'Mask', input: 'image' } }),
      'workflow.json: mask.target.node: got "Mask", which is not a node of graph.json; takes an id, a title or a class: node 1 (LoadImage), node 2 (LoadImage), node 3 (ImageScale), node 4 (Encode), node 5 (KSampler), node 6 (SaveImage)',
    ],
    [
      'a mask in the place of an image',
      inManifest('mask', { target: { node: 'First', input: 'image' } }),
      'workflow.json: mask.target: writes to input image of node 1, as images.0.target does; takes an input of its own',
    ],
    [
      'a mask that goes with an absent image',
      files => {
        inManifest('mask', { target: { node: '7', input: 'image' } })(files);
        inManifest('images.1.nodes', ['7'])(files);
        files.graph['7'] = { class_type: 'LoadImageMask', inputs: { image: 'm.png' } };
      },
      'workflow.json: images.1.nodes: got node 7 (LoadImageMask), which mask.target needs; takes nodes that only serve image 2',
    ],
    [
      'a field of the wrong type',
      inManifest('parameters.steps.default', 'forty'),
      'workflow.json: parameters.steps.default: got "forty"; takes a number',
    ],
    [
      'a missing field',
      inManifest('inputs.seed', undefined),
      'workflow.json: inputs.seed: is missing; takes an input of a node, or a list of them',
    ],
    [
      'a missing part of a field',
      inManifest('output', undefined),
      'workflow.json: output: is missing; takes an object',
    ],
    [
      'a misspelt field',
      inManifest('inputs.promt', { node: '4', input: 'prompt' }),
      'workflow.json: inputs: got the unknown field "promt"; did you mean "prompt"?; takes prompt, negativePrompt, seed',
    ],
    [
      'a misspelt part of a target',
      inManifest('inputs.seed', { node: '5', inptu: 'seed' }),
      'workflow.json: inputs.seed: got the unknown field "inptu"; did you mean "input"?; takes node, input',
    ],
    [
      'a target that is a string',
      inManifest('inputs.seed', '5.seed'),
      'workflow.json: inputs.seed: got "5.seed"; takes an input of a node, or a list of them',
    ],
    [
      'a slot out of range',
      inManifest('images.1.slot', 4),
      'workflow.json: images.1.slot: got 4; takes 1, 2 or 3',
    ],
    [
      'an unknown stage',
      inManifest('stages.0.stage', 'SAMPLIN'),
      'workflow.json: stages.0.stage: got "SAMPLIN"; takes one of LOADING, ENCODING, SAMPLING, DECODING, SAVING; did you mean "SAMPLING"?',
    ],
    [
      'a weight below zero',
      inManifest('stages.0.weight', -1),
      'workflow.json: stages.0.weight: got -1; takes at least 0',
    ],
    [
      'a name with characters that are not allowed',
      inManifest('name', 'Small One'),
      'workflow.json: name: got "Small One"; takes the name of its folder: lowercase letters',
    ],
    [
      'a name that differs from the folder',
      inManifest('name', 'smal'),
      'workflow.json: name: got "smal"; takes the name of its folder, "small"',
    ],
    [
      'a reference to an unknown node',
      inManifest('inputs.steps.node', 'KSamplr'),
      'workflow.json: inputs.steps.node: got "KSamplr", which is not a node of graph.json; takes an id, a title or a class; did you mean "KSampler"?',
    ],
    [
      'a reference to an unknown title',
      inManifest('images.0.target.node', 'Frist'),
      'workflow.json: images.0.target.node: got "Frist", which is not a node of graph.json; takes an id, a title or a class; did you mean "First"?',
    ],
    [
      'a reference that is like no node',
      inManifest('output.node', 'zzzzzzzz'),
      'workflow.json: output.node: got "zzzzzzzz", which is not a node of graph.json; takes an id, a title or a class: node 1 (LoadImage)',
    ],
    [
      'a class of two nodes',
      inManifest('images.0.target.node', 'LoadImage'),
      'workflow.json: images.0.target.node: got "LoadImage", which matches 2 nodes (1, 2); takes the id or a unique title of one of them',
    ],
    [
      'an unknown input',
      inManifest('inputs.cfg.input', 'cgf'),
      'workflow.json: inputs.cfg.input: got "cgf"; node 5 (KSampler) takes positive, seed, steps, cfg; did you mean "cfg"?',
    ],
    [
      'an input that holds a link',
      inManifest('inputs.prompt', { node: '4', input: 'image1' }),
      'workflow.json: inputs.prompt.input: got "image1", which is a link to node 3; takes an input that holds a value',
    ],
    [
      'two fields that write to the same input',
      inManifest('inputs.cfg.input', 'steps'),
      'workflow.json: inputs.cfg: writes to input steps of node 5, as inputs.steps does; takes an input of its own',
    ],
    [
      'an unknown input in the second of two targets',
      inManifest('inputs.cfg', [
        { node: '5', input: 'cfg' },
        { node: '5', input: 'cfgg' },
      ]),
      'workflow.json: inputs.cfg.1.input: got "cfgg"; node 5',
    ],
    [
      'an output node without a file name input',
      inManifest('output.node', '5'),
      'workflow.json: output.prefixInput: got "filename_prefix"; node 5 (KSampler) takes',
    ],
    [
      'a repeated slot',
      inManifest('images.1.slot', 1),
      'workflow.json: images.1.slot: got 1 again; takes a unique slot',
    ],
    [
      'a node that belongs to two images',
      inManifest('images.1.nodes', ['1']),
      'workflow.json: images.1.nodes: got node 1, which already belongs to image 1',
    ],
    [
      'an optional image with a node that every request needs',
      inManifest('images.1.nodes', ['5']),
      'workflow.json: images.1.nodes: got node 5 (KSampler), which inputs.seed needs; takes nodes that only serve image 2',
    ],
    [
      'a misspelt node of an image',
      inManifest('images.1.nodes', ['Secnd']),
      'workflow.json: images.1.nodes.0: got "Secnd", which is not a node of graph.json; takes an id, a title or a class; did you mean "Second"?',
    ],
    [
      'a width without a height',
      inManifest('inputs.height', undefined),
      'workflow.json: inputs.height: is missing; width and height need each other',
    ],
    [
      'a default out of its range',
      inManifest('parameters.cfg.default', 30),
      'workflow.json: parameters.cfg.default: got 30; takes a number from 1 to 20',
    ],
    [
      'a maximum below the minimum',
      inManifest('parameters.cfg.maximum', 0),
      'workflow.json: parameters.cfg.maximum: got 0; takes a number of at least the minimum, 1',
    ],
    [
      'a default of half a step',
      inManifest('parameters.steps.default', 2.5),
      'workflow.json: parameters.steps.default: got 2.5; takes an integer',
    ],
    [
      'a minimum of no megapixels',
      inManifest('parameters.megapixels.minimum', 0),
      'workflow.json: parameters.megapixels.minimum: got 0; takes a number above 0',
    ],
    [
      'limits of the sides without a multiple between them',
      inManifest('size', { minSide: 100, maxSide: 100 }),
      'workflow.json: size.maxSide: got 100; takes a side with a multiple of 16 from minSide, 100',
    ],
    [
      'a parameter with a wrong default',
      inManifest('extraParameters.0.default', 'much'),
      'workflow.json: extraParameters.0.default: got "much"; takes a number from 0 to 2',
    ],
    [
      'a repeated parameter',
      inManifest('extraParameters', [strength, { ...strength, target: { node: '4', input: 'model' } }]),
      'workflow.json: extraParameters.1.name: got "strength" again; takes a unique name',
    ],
    [
      'a parameter without a target',
      inManifest('extraParameters.0.target', undefined),
      'workflow.json: extraParameters.0.target: is missing; takes an input, unless a template uses the parameter',
    ],
    [
      'options of another type',
      inManifest('extraParameters.0.options', [1, 'two']),
      'workflow.json: extraParameters.0.options.1: got "two"; takes a number from 0 to 2',
    ],
    [
      'an option with a default out of range',
      inManifest('extraParameters.0.options', [{ value: 1, defaults: { steps: 500 } }]),
      'workflow.json: extraParameters.0.options.0.defaults.steps: got 500; takes an integer from 1 to 100',
    ],
    [
      'a minimum of a string',
      inManifest('extraParameters.0', { ...strength, type: 'string', default: 'a', minimum: 1 }),
      'workflow.json: extraParameters.0.minimum: got 1; only numbers have a minimum, and the type is string',
    ],
    [
      'a free string that names a file',
      inManifest('extraParameters.0', {
        name: 'file',
        type: 'string',
        default: 'a',
        target: { node: '6', input: 'filename_prefix' },
      }),
      'workflow.json: extraParameters.0.options: is missing; a string that names a file takes a list of the allowed names',
    ],
    [
      'a template of an unknown parameter',
      inManifest('templates', [{ target: { node: '4', input: 'model' }, value: '{strenght}.safetensors' }]),
      'workflow.json: templates.0.value: got {strenght}; takes the names of extra parameters: strength; did you mean "strength"?',
    ],
    [
      'a stage of an unknown node',
      inManifest('stages.0.nodes', ['KSampeler']),
      'workflow.json: stages.0.nodes.0: got "KSampeler", which is not a node of graph.json; takes an id, a title or a class; did you mean "KSampler"?',
    ],
    [
      'a node in two stages',
      inManifest('stages.0.nodes', ['5', 'KSampler']),
      'workflow.json: stages.0.nodes.1: got node 5 again, which stages.0.nodes.0 already names',
    ],
    [
      'a required class that the graph does not use',
      inManifest('requires.nodes.0.class', 'Enocde'),
      'workflow.json: requires.nodes.0.class: got "Enocde", which graph.json does not use; takes a class that it uses; did you mean "Encode"?',
    ],
    [
      'a required model that nothing loads',
      inManifest('requires.models.0.file', 'n.safetensors'),
      'workflow.json: requires.models.0.file: got "n.safetensors", which nothing loads; takes a file that graph.json names; did you mean "m.safetensors"?',
    ],
    [
      'a model that is missing from the list',
      inManifest('requires.models', []),
      'workflow.json: requires.models: lacks "m.safetensors"; takes every model file, with its folder',
    ],
    [
      'a link to a missing node',
      inGraph('6', { images: ['55', 0] }),
      'graph.json: 6.inputs.images: got a link to the missing node "55"; takes one of 1, 2, 3, 4, 5, 6; did you mean "5"?',
    ],
    [
      'a negative output',
      inGraph('6', { images: ['5', -1] }),
      'graph.json: 6.inputs.images: got output -1 of node 5; takes an output number from 0',
    ],
    [
      'a bare list',
      inGraph('4', { strength: [1, 2, 3] }),
      'graph.json: 4.inputs.strength: got a list; takes a link [node id, output] or a list wrapped as {"__value__": [ … ]}',
    ],
    [
      'a cycle of links',
      inGraph('3', { image: ['5', 0] }),
      'graph.json: the file: got a cycle of links: node',
    ],
    [
      'a node without a class',
      files => Object.assign(files.graph, { '9': { inputs: {} } }),
      'graph.json: 9.class_type: is missing; takes a string',
    ],
    [
      'an unnamed node that only serves an optional image',
      files => {
        files.graph['7'] = { class_type: 'ImageBlur', inputs: { image: ['2', 0] } };
        inGraph('4', { image2: ['7', 0] })(files);
      },
      'workflow.json: images.1.nodes: lacks node 7 (ImageBlur), which has no other source; takes every node that only serves image 2',
    ],
  ])('reports %s', async (_what, change, message) => {
    const problems = await problemsOf(change);
    expect(problems.find(problem => problem.startsWith(message)) ?? problems.join('\n')).toContain(message);
  });

  it.each([
    ['a missing manifest', { 'graph.json': {} }, 'workflow.json: is missing; takes a manifest'],
    [
      'a missing graph',
      { 'workflow.json': {} },
      'graph.json: is missing; takes a graph, which ComfyUI writes by "Export (API)"',
    ],
    ['a file that is not JSON', { 'graph.json': '{', 'workflow.json': {} }, 'graph.json: is not JSON: '],
    [
      'an empty graph',
      { 'graph.json': {}, 'workflow.json': smallWorkflow().manifest },
      'graph.json: the file: got no nodes; takes at least one',
    ],
    [
      'a manifest that is a list',
      { 'graph.json': {}, 'workflow.json': [] },
      'workflow.json: the file: got []; takes an object',
    ],
    [
      'a graph in the format of the editor',
      { 'graph.json': { nodes: [], links: [] }, 'workflow.json': {} },
      'graph.json: the file: got the format of the ComfyUI editor; takes the API format, which ComfyUI writes by "Export (API)"; "qwen-edit workflows new" converts it',
    ],
  ])('reports %s', async (_what, files, message) => {
    await write('small', files);
    const { broken } = await loadWorkflows(dir);
    expect(broken[0]?.problems.join('\n')).toContain(message);
  });

  it('reports every problem of both files at once, and loads the other workflows', async () => {
    const { graph, manifest } = smallWorkflow();
    await write('good', { 'graph.json': graph, 'workflow.json': { ...manifest, name: 'good' } });
    await write('bad', {
      'graph.json': { '1': { inputs: {} } },
      'workflow.json': { ...manifest, title: 7, images: [] },
    });
    await write('.hidden', {});
    await writeFile(join(dir, 'README.md'), 'about');
    const { workflows, broken } = await loadWorkflows(dir);
    expect(workflows.map(({ name }) => name)).toEqual(['good']);
    expect(broken).toEqual([
      {
        name: 'bad',
        problems: [
          expect.stringContaining('graph.json: 1.class_type: is missing'),
          expect.stringContaining('workflow.json: title: got 7; takes a string'),
          expect.stringContaining('workflow.json: images: got []; takes at least 1 entry'),
        ],
      },
    ]);
  });

  it('throws when the folder itself is missing', async () => {
    await expect(loadWorkflows(join(dir, 'nowhere'))).rejects.toThrow(/nowhere/);
  });
});

describe('the version of a workflow', () => {
  it('changes with either file and with nothing else', async () => {
    const { graph, manifest } = smallWorkflow();
    const version = async (files: Record<string, unknown>) => {
      await write('small', files);
      const { workflows, broken } = await loadWorkflows(dir);
      expect(broken).toEqual([]);
      await rm(join(dir, 'small'), { recursive: true });
      return workflows[0]?.version;
    };
    const first = await version({ 'graph.json': graph, 'workflow.json': manifest });
    expect(first).toMatch(/^[0-9a-f]{12}$/);
    expect(await version({ 'graph.json': graph, 'workflow.json': manifest })).toBe(first);
    const retitled = await version({ 'graph.json': graph, 'workflow.json': { ...manifest, title: 'Other' } });
    inGraph('3', { crop: 'disabled' })({ graph });
    const cropped = await version({ 'graph.json': graph, 'workflow.json': manifest });
    expect(new Set([first, retitled, cropped]).size).toBe(3);
  });
});
