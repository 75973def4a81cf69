import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bindWorkflow } from '../../../src/workflows/bind/bind.ts';
import { chooseModels } from '../../../src/workflows/bind/models.ts';
import { checkAgainstEngine } from '../../../src/workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../../../src/workflows/check/object-info.ts';
import { checkWorkflow } from '../../../src/workflows/check/workflow.ts';
import { type Graph, isLink } from '../../../src/workflows/graph.ts';
import { type Manifest, manifestSchema } from '../../../src/workflows/manifest.ts';
import {
  recordedInfo,
  requestFor,
  shipped,
  smallWorkflow,
  workflowOf,
} from '../../support/comfyui/workflows.ts';

const FILES = ['a.safetensors', 'b.safetensors', 'c.safetensors', 'd.gguf', 'e.gguf'];
const loaderOf = (file: string) => (file.endsWith('.gguf') ? 'OtherLoader' : 'Loader');

/** A required file with alternatives, in this order. */
function modelOf(file: string, others: readonly string[]): Manifest['requires']['models'][number] {
  const alternatives = others.map(other => ({
    file: other,
    ...(loaderOf(other) === loaderOf(file)
      ? {}
      : { loader: { class: loaderOf(other), input: 'name', inputs: { quick: true } } }),
  }));
  return {
    folder: 'm',
    file,
    alternatives: manifestSchema.shape.requires
      .unwrap()
      .shape.models.unwrap()
      .element.parse({ folder: 'm', file, alternatives }).alternatives,
  };
}

function infoWith(files: readonly string[], classes: readonly string[]): ObjectInfo {
  const described = classes.map(name => {
    const input = name === 'OtherLoader' ? 'name' : 'file';
    return [name, { input: { required: { [input]: [files.filter(file => loaderOf(file) === name)] } } }];
  });
  return parseObjectInfo(Object.fromEntries(described));
}

const drawn = fc.record({
  order: fc.shuffledSubarray(FILES, { minLength: 1 }),
  present: fc.subarray(FILES),
  classes: fc.subarray(['Loader', 'OtherLoader']),
  nodes: fc.integer({ min: 0, max: 3 }),
});

describe('the file of a model', () => {
  it('is the first of the file and its alternatives that the engine has, in every node that names it', () => {
    fc.assert(
      fc.property(drawn, ({ order, present, classes, nodes }) => {
        const [file = '', ...others] = order;
        // The graph always loads its own file with its own class.
        const graph: Graph = { z: { class_type: 'Other', inputs: { text: 'a.safetensors of mine' } } };
        const input = loaderOf(file) === 'OtherLoader' ? 'name' : 'file';
        for (let n = 0; n < nodes; n += 1) {
          graph[n] = { class_type: loaderOf(file), inputs: { [input]: file, slow: 1, link: ['z', 0] } };
        }
        const model = modelOf(file, others);
        for (const { loader } of model.alternatives) if (loader?.class === 'Loader') loader.input = 'file';
        const manifest = { requires: { nodes: [], models: [model] } };
        const before = structuredClone(graph);
        const chosen = chooseModels(graph, manifest, infoWith(present, classes));
        const has = (name: string) => present.includes(name) && classes.includes(loaderOf(name));
        const expected = order.find(has) ?? file;
        if (nodes === 0 || others.length === 0) {
          expect(chosen).toEqual([]);
          expect(graph).toEqual(before);
          return;
        }
        expect(chosen).toEqual([{ wanted: file, file: expected }]);
        expect(graph.z).toEqual(before.z);
        for (let n = 0; n < nodes; n += 1) {
          const node = graph[n];
          const sameClass = loaderOf(expected) === loaderOf(file);
          expect(node?.class_type).toBe(loaderOf(expected));
          expect(Object.values(node?.inputs ?? {}).filter(isLink)).toEqual([['z', 0]]);
          expect(Object.values(node?.inputs ?? {})).toContain(expected);
          expect('slow' in (node?.inputs ?? {})).toBe(sameClass);
          if (!sameClass) expect(node?.inputs.quick).toBe(true);
        }
        // A second choice finds what is bound as it is.
        const again = structuredClone(graph);
        chooseModels(graph, manifest, infoWith(present, classes));
        if (has(expected)) expect(graph).toEqual(again);
      }),
    );
  });

  it('stays that of the graph without an engine, and in a graph of a parameter is found too', async () => {
    const workflow = await shipped('qwen-image-edit-2511');
    const request = requestFor([1], { parameters: { weights: 'int8_convrot' } });
    const wanted = 'qwen_image_edit_2511_int8_convrot.safetensors';
    expect(bindWorkflow(workflow, request)).toMatchObject({
      models: [],
      graph: { 37: { inputs: { unet_name: wanted } } },
    });
    const info = parseObjectInfo({
      UNETLoader: { input: { required: { unet_name: [['qwen_image_edit_2511_bf16.safetensors']] } } },
    });
    const bound = bindWorkflow(workflow, request, info);
    expect(bound.models[0]).toEqual({ wanted, file: 'qwen_image_edit_2511_bf16.safetensors' });
    expect(bound.graph[37]?.inputs.unet_name).toBe('qwen_image_edit_2511_bf16.safetensors');
    // The graph of the workflow itself has not changed.
    expect(workflow.graph[37]?.class_type).toBe('UNETLoader');
  });

  it('in the shipped workflows may be a GGUF with its loader, and every problem names the alternatives', async () => {
    const workflow = await shipped('qwen-image-edit-plus');
    const classes = await recordedInfo('0.8.0');
    const gguf = {
      UnetLoaderGGUF: {
        input: { required: { unet_name: [['Qwen-Image-Edit-2509-Q4_K_M.gguf']] } },
        output: ['MODEL'],
      },
    };
    const withFiles = (unet: string[]) =>
      parseObjectInfo({
        ...classes,
        ...gguf,
        UNETLoader: {
          input: { required: { unet_name: [unet], weight_dtype: [['default']] } },
          output: ['MODEL'],
        },
      });
    expect(
      checkAgainstEngine(workflow, withFiles([])).filter(({ kind }) => kind !== 'model-missing'),
    ).toEqual([]);
    const bound = bindWorkflow(workflow, requestFor([1, 2]), withFiles([]));
    expect(bound.graph[37]).toMatchObject({
      class_type: 'UnetLoaderGGUF',
      inputs: { unet_name: 'Qwen-Image-Edit-2509-Q4_K_M.gguf' },
    });
    expect(bound.graph[37]?.inputs).not.toHaveProperty('weight_dtype');
    expect(bound.plan.nodes[37]).toMatchObject({ stage: 'LOADING', classType: 'UnetLoaderGGUF' });
    const bf16 = bindWorkflow(
      workflow,
      requestFor([1]),
      withFiles(['qwen_image_edit_2509_bf16.safetensors']),
    );
    expect(bf16.graph[37]?.inputs).toEqual({
      unet_name: 'qwen_image_edit_2509_bf16.safetensors',
      weight_dtype: 'default',
    });
    const without = new Map([...withFiles([])].filter(([name]) => name !== 'UnetLoaderGGUF'));
    expect(checkAgainstEngine(workflow, without)).toContainEqual({
      kind: 'model-missing',
      folder: 'diffusion_models',
      file: 'qwen_image_edit_2509_fp8_e4m3fn.safetensors',
      alternatives: [
        'qwen_image_edit_2509_bf16.safetensors',
        'Qwen-Image-Edit-2509-Q8_0.gguf',
        'Qwen-Image-Edit-2509-Q4_K_M.gguf',
      ],
    });
  });
});

it('an alternative that is the file itself, or is there twice, is a problem of the manifest', () => {
  const { graph, manifest } = smallWorkflow();
  const models = [
    {
      folder: 'models',
      file: 'm.safetensors',
      alternatives: [{ file: 'm.safetensors' }, { file: 'n.gguf' }, { file: 'n.gguf' }],
    },
  ];
  expect(checkWorkflow(workflowOf(graph, { ...manifest, requires: { nodes: [], models } }))).toEqual([
    'workflow.json: requires.models.0.alternatives.0.file: got "m.safetensors" again; takes another file than those before it',
    'workflow.json: requires.models.0.alternatives.2.file: got "n.gguf" again; takes another file than those before it',
  ]);
});
