import { beforeAll, describe, expect, it } from 'vitest';
import { checkAgainstEngine, checkGraphAgainstEngine } from '../../../src/workflows/check/engine.ts';
import { parseObjectInfo } from '../../../src/workflows/check/object-info.ts';
import type { Graph } from '../../../src/workflows/graph.ts';
import { recordedInfo, smallWorkflow, workflowOf } from '../../support/comfyui/workflows.ts';

describe('parseObjectInfo', () => {
  it('reads both dialects of a combo alike', () => {
    const info = parseObjectInfo({
      Old: { input: { required: { method: [['area', 'lanczos'], { tooltip: 'x' }] } }, output: ['IMAGE'] },
      New: {
        input: { required: { method: ['COMBO', { multiselect: false, options: ['area', 'lanczos'] }] } },
        output: ['IMAGE'],
      },
    });
    const method = {
      type: 'COMBO',
      required: true,
      options: ['area', 'lanczos'],
      minimum: null,
      maximum: null,
      linkOnly: false,
    };
    expect(info.get('Old')?.inputs.get('method')).toEqual(method);
    expect(info.get('New')?.inputs.get('method')).toEqual(method);
  });

  it('knows a class that describes itself strangely', () => {
    const info = parseObjectInfo({
      Odd: {
        input: { required: { a: 'INT', b: [7], c: [[{ deep: 1 }, 'x']], d: ['COMBO'], e: [] } },
        output: 3,
      },
      Odder: null,
      Bare: {},
    });
    expect([...info.keys()]).toEqual(['Odd', 'Odder', 'Bare']);
    const types = [...(info.get('Odd')?.inputs ?? [])].map(([name, input]) => [
      name,
      input.type,
      input.options,
    ]);
    expect(types).toEqual([
      ['a', 'INT', null],
      ['b', '*', null],
      ['c', 'COMBO', ['x']],
      ['d', 'COMBO', null],
      ['e', '*', null],
    ]);
  });

  it('throws for a response that is not an object', () => {
    expect(() => parseObjectInfo('<html>')).toThrow();
  });
});

describe('checkGraphAgainstEngine', () => {
  let info: ReturnType<typeof parseObjectInfo>;

  beforeAll(async () => {
    const slider = {
      Slider: {
        input: {
          required: { on: ['BOOLEAN'], text: ['STRING'], whole: ['INT', { min: 0, max: 9 }] },
          optional: { image: ['IMAGE'], images: ['COMFY_AUTOGROW_V3', {}] },
        },
        output: ['IMAGE,MASK', '*'],
      },
    };
    info = parseObjectInfo({ ...(await recordedInfo('0.3.64')), ...slider });
  });

  const load = { class_type: 'LoadImage', inputs: { image: 'qwen-edit/new.png' } };
  const slider = (inputs: Record<string, unknown>): Graph => ({
    '1': load,
    '2': { class_type: 'Slider', inputs: { on: true, text: '', whole: 1, ...inputs } },
  });
  const scale = (inputs: Record<string, unknown>): Graph => ({
    '1': load,
    '2': {
      class_type: 'ImageScaleToTotalPixels',
      inputs: { image: ['1', 0], upscale_method: 'area', megapixels: 1, ...inputs },
    },
  });

  it.each<[string, Graph]>([
    ['an upload that the options do not list', { '1': load }],
    ['an input that the engine ignores', scale({ resolution_steps: 16 })],
    ['null for an optional input', slider({ image: null })],
    [
      'an output that fits one of several types',
      { ...slider({}), '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'x' } } },
    ],
    [
      'an output of any type',
      { ...slider({}), '3': { class_type: 'SaveImage', inputs: { images: ['2', 1], filename_prefix: 'x' } } },
    ],
    ['a growing input', slider({ 'images.image_1': ['1', 0] })],
    ['an integer as a string', slider({ whole: '9' })],
  ])('takes %s', (_what, graph) => {
    expect(checkGraphAgainstEngine(graph, info)).toEqual([]);
  });

  it.each<[string, Graph, string, string]>([
    [
      'a missing input',
      { '1': { class_type: 'LoadImage', inputs: {} } },
      'image',
      'is missing; LoadImage takes one of its options',
    ],
    [
      'an unknown option of a V3 combo',
      scale({ upscale_method: 'lanzcos' }),
      'upscale_method',
      'takes one of nearest-exact, bilinear, area, bicubic, lanczos; did you mean "lanczos"?, got "lanzcos"',
    ],
    ['a number too large', scale({ megapixels: 17 }), 'megapixels', 'takes a number from 0.01 to 16, got 17'],
    [
      'a string for a number',
      scale({ megapixels: '1' }),
      'megapixels',
      'takes a number from 0.01 to 16, got "1"',
    ],
    ['a fraction for an integer', slider({ whole: 1.5 }), 'whole', 'takes an integer from 0 to 9, got 1.5'],
    [
      'a string for a boolean, which ComfyUI would read as true',
      slider({ on: 'false' }),
      'on',
      'takes true or false, got "false"',
    ],
    ['a number for a string', slider({ text: 1 }), 'text', 'takes a string, got 1'],
    [
      'a constant in place of a link',
      scale({ image: 'a.png' }),
      'image',
      'takes a link of type IMAGE, got "a.png"',
    ],
    [
      'a link to a missing node',
      scale({ image: ['9', 0] }),
      'image',
      'takes a link to a node of the graph, got one to the missing node 9',
    ],
    [
      'a link to an unknown input',
      scale({ imgae: ['1', 0] }),
      'imgae',
      'is not an input of ImageScaleToTotalPixels, which takes image, upscale_method, megapixels; did you mean "image"?',
    ],
    [
      'a link of another type',
      scale({ image: ['1', 1] }),
      'image',
      'takes IMAGE, got MASK from node 1 (LoadImage)',
    ],
    [
      'a link to an unknown output',
      scale({ image: ['1', 2] }),
      'image',
      'takes one of the 2 outputs of LoadImage, got number 2',
    ],
  ])('reports %s', (_what, graph, input, message) => {
    const node = Object.keys(graph).at(-1);
    expect(checkGraphAgainstEngine(graph, info)).toEqual([{ kind: 'input-invalid', node, input, message }]);
  });

  it('guesses the folder of a missing model file from the input', () => {
    const graph: Graph = { '1': { class_type: 'VAELoader', inputs: { vae_name: 'other.safetensors' } } };
    expect(checkGraphAgainstEngine(graph, info)).toEqual([
      { kind: 'model-missing', file: 'other.safetensors', folder: 'vae', alternatives: [] },
    ]);
  });
});

describe('checkAgainstEngine', () => {
  const info = parseObjectInfo({
    LoadImage: {
      input: { required: { image: [['x.png'], { image_upload: true }] } },
      output: ['IMAGE', 'MASK'],
    },
    ImageScale: {
      input: {
        required: {
          image: ['IMAGE'],
          upscale_method: [['lanczos']],
          width: ['INT', { min: 0, max: 4096 }],
          height: ['INT'],
          crop: [['center']],
        },
      },
      output: ['IMAGE'],
    },
    Encode: {
      input: {
        required: {
          prompt: ['STRING'],
          image1: ['IMAGE'],
          image2: ['IMAGE'],
          strength: ['FLOAT'],
          model: [['m.safetensors']],
        },
      },
      output: ['CONDITIONING'],
    },
    KSampler: {
      input: {
        required: {
          positive: ['CONDITIONING'],
          seed: ['INT'],
          steps: ['INT', { min: 1, max: 50 }],
          cfg: ['FLOAT'],
        },
      },
      output: ['IMAGE'],
    },
    SaveImage: { input: { required: { images: ['IMAGE'], filename_prefix: ['STRING'] } }, output: [] },
  });

  it('finds what fails only without an optional image, or at the end of a range', () => {
    const { graph, manifest } = smallWorkflow();
    expect(checkAgainstEngine(workflowOf(graph, manifest), info)).toEqual([
      {
        kind: 'input-invalid',
        node: '4',
        input: 'image2',
        message: 'is missing; Encode takes a link of type IMAGE',
      },
      { kind: 'input-invalid', node: '5', input: 'steps', message: 'takes an integer from 1 to 50, got 100' },
    ]);
  });
});
