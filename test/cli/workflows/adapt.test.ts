import { describe, expect, it } from 'vitest';
import { adaptGraph as adapt } from '../../../src/cli/workflows/adapt/adapt.ts';
import { expertise } from '../../../src/cli/workflows/make.ts';
import { readPublished } from '../../../src/cli/workflows/published.ts';
import { scaffoldManifest } from '../../../src/cli/workflows/scaffold.ts';
import { bindWorkflow } from '../../../src/workflows/bind/bind.ts';
import { checkWorkflow } from '../../../src/workflows/check/workflow.ts';
import type { Graph } from '../../../src/workflows/graph.ts';
import { requestFor, shipped, workflowOf } from '../../support/comfyui/workflows.ts';

/** A graph as commonly exported: the image reaches the canvas unscaled, or through `scaler`. */
function exported(scaler?: { class_type: string; inputs: Record<string, unknown> }): Graph {
  const source = scaler === undefined ? ['5', 0] : ['6', 0];
  return {
    '3': { class_type: 'CLIPLoader', inputs: { clip_name: 'c.safetensors', type: 'qwen_image' } },
    '4': { class_type: 'VAELoader', inputs: { vae_name: 'v.safetensors' } },
    '5': { class_type: 'LoadImage', inputs: { image: 'a.png' } },
    ...(scaler === undefined ? {} : { '6': scaler }),
    '7': {
      class_type: 'TextEncodeQwenImageEditPlus',
      inputs: { clip: ['3', 0], vae: ['4', 0], image1: source, prompt: 'p' },
    },
    '8': {
      class_type: 'TextEncodeQwenImageEditPlus',
      inputs: { clip: ['3', 0], vae: ['4', 0], image1: source, prompt: '' },
    },
    '9': { class_type: 'VAEEncode', inputs: { pixels: source, vae: ['4', 0] } },
    '1': { class_type: 'UnetLoaderGGUF', inputs: { unet_name: 'm.gguf' } },
    '10': {
      class_type: 'KSampler',
      inputs: {
        model: ['1', 0],
        positive: ['7', 0],
        negative: ['8', 0],
        latent_image: ['9', 0],
        seed: 42,
        steps: 20,
        cfg: 1,
      },
    },
    '11': { class_type: 'VAEDecode', inputs: { samples: ['10', 0], vae: ['4', 0] } },
    '12': { class_type: 'SaveImage', inputs: { images: ['11', 0], filename_prefix: 'x' } },
    // Exports often have nodes that nothing uses.
    '2': { class_type: 'EmptySD3LatentImage', inputs: { width: 1024, height: 1024, batch_size: 1 } },
  };
}

const { info } = await expertise(null);

function adaptGraph(graph: Graph) {
  const adapted = adapt(graph);
  if (!adapted.ok) throw new Error(adapted.message);
  return { graph: adapted.graph, changes: adapted.changes };
}

const REMOVED = 'removed, since the result does not need them: node 2 (EmptySD3LatentImage)';

function scaffold(graph: Graph, output = '12') {
  const made = scaffoldManifest('mine', graph, output, info);
  if (!made.ok) throw new Error(made.missing.join(', '));
  const workflow = workflowOf(graph, made.manifest);
  expect(checkWorkflow(workflow)).toEqual([]);
  return workflow;
}

describe('adaptGraph', () => {
  it('adds a scaler after an unscaled image, for every node that takes it', () => {
    const { graph, changes } = adaptGraph(exported());
    expect(changes).toEqual([
      REMOVED,
      'added node 13 (ImageScale) after node 5 (LoadImage): it takes the size of each job',
    ]);
    expect(graph['13']).toMatchObject({ class_type: 'ImageScale', inputs: { image: ['5', 0] } });
    for (const [id, input] of [
      ['7', 'image1'],
      ['8', 'image1'],
      ['9', 'pixels'],
    ] as const) {
      expect(graph[id]?.inputs[input]).toEqual(['13', 0]);
    }
    const { manifest, ...workflow } = scaffold(graph);
    expect(manifest.inputs).toMatchObject({ width: { node: '13' }, height: { node: '13' } });
    const bound = bindWorkflow({ manifest, ...workflow }, requestFor([1]));
    expect(bound.graph['13']?.inputs).toMatchObject({ ...bound.size });
  });

  it.each([
    ['ImageScaleToTotalPixels', { upscale_method: 'area', megapixels: 1 }, 'area'],
    ['FluxKontextImageScale', {}, 'lanczos'],
  ])('replaces %s by an ImageScale', (class_type, inputs, upscale_method) => {
    const { graph, changes } = adaptGraph(exported({ class_type, inputs: { image: ['5', 0], ...inputs } }));
    expect(changes).toEqual([
      REMOVED,
      `node 6 (${class_type}) is now an ImageScale, which takes the size of each job`,
    ]);
    expect(graph['6']).toMatchObject({
      class_type: 'ImageScale',
      inputs: { image: ['5', 0], upscale_method, crop: 'center' },
    });
    // Not the latent that nothing is linked to.
    expect(scaffold(graph).manifest.inputs.width).toEqual({ node: '6', input: 'width' });
  });

  it('only removes unneeded nodes from a graph that already takes a size', async () => {
    const { graph } = await shipped('qwen-image-edit-plus');
    expect(adaptGraph(graph)).toEqual({ graph, changes: [] });
    const empty = exported();
    Object.assign(empty['10']?.inputs ?? {}, { latent_image: ['2', 0] });
    const { graph: kept, changes } = adaptGraph(empty);
    expect(kept['2']).toEqual(empty['2']);
    expect(changes).toEqual(['removed, since the result does not need them: node 9 (VAEEncode)']);
    expect(scaffold(empty).manifest.inputs.width).toEqual({ node: '2', input: 'width' });
  });

  it('adds the input that newer versions require to the scalers that stay', () => {
    const graph = exported();
    graph['20'] = { class_type: 'LoadImage', inputs: { image: 'b.png' } };
    graph['21'] = {
      class_type: 'ImageScaleToTotalPixels',
      inputs: { image: ['20', 0], upscale_method: 'area', megapixels: 1 },
    };
    Object.assign(graph['7']?.inputs ?? {}, { image2: ['21', 0] });
    const adapted = adaptGraph(graph);
    expect(adapted.changes).toHaveLength(3);
    expect(adapted.graph['21']?.inputs.resolution_steps).toBe(1);
    expect(scaffold(adapted.graph).manifest.images[1]).toMatchObject({
      target: { node: '20' },
      nodes: ['21'],
    });
  });
});

describe('scaffoldManifest, for a graph that scales the image itself', () => {
  it.each([
    [undefined, 1360, 768],
    [1, 1360, 768],
    [32, 1376, 768],
  ])('predicts the size of a 1920x1080 image with resolution_steps %s', (resolution_steps, width, height) => {
    const graph = exported({
      class_type: 'ImageScaleToTotalPixels',
      inputs: {
        image: ['5', 0],
        upscale_method: 'area',
        megapixels: 1,
        ...(resolution_steps === undefined ? {} : { resolution_steps }),
      },
    });
    const workflow = scaffold(graph);
    const images = [{ slot: 1 as const, name: 'a.png', width: 1920, height: 1080 }];
    expect(bindWorkflow(workflow, requestFor([1], { images, cfg: 1 })).size).toEqual({ width, height });
  });
});

describe('scaffoldManifest, for a graph of primitives', () => {
  it('follows a prompt, a seed and steps to the nodes that have them', () => {
    const graph = adaptGraph(exported()).graph;
    graph['30'] = { class_type: 'PrimitiveStringMultiline', inputs: { value: 'p' } };
    graph['31'] = { class_type: 'PrimitiveInt', inputs: { value: 7 } };
    Object.assign(graph['7']?.inputs ?? {}, { prompt: ['30', 0] });
    Object.assign(graph['10']?.inputs ?? {}, { seed: ['31', 0] });
    const { manifest } = scaffold(graph);
    expect(manifest.inputs).toMatchObject({
      prompt: { node: '30', input: 'value' },
      negativePrompt: { node: '8', input: 'prompt' },
      seed: { node: '31', input: 'value' },
    });
    expect(manifest.images).toMatchObject([{ slot: 1, required: true, target: { node: '5' } }]);
  });

  it('takes no name of an image for a prompt', () => {
    const graph = exported();
    Object.assign(graph['7']?.inputs ?? {}, { prompt: ['14', 0] });
    // As a node that describes an image.
    graph['14'] = { class_type: 'Describe', inputs: { input: ['5', 0] } };
    const adapted = adaptGraph(graph);
    expect(adapted.changes).toContain(
      'node 7 (TextEncodeQwenImageEditPlus) now takes prompt from the request instead of a computed one',
    );
    expect(scaffold(adapted.graph).manifest.inputs.prompt).toEqual({ node: '7', input: 'prompt' });
  });

  it('finds the parts of a SamplerCustomAdvanced', () => {
    const graph = adaptGraph(exported()).graph;
    graph['10'] = {
      class_type: 'SamplerCustomAdvanced',
      inputs: {
        noise: ['40', 0],
        guider: ['41', 0],
        sampler: ['42', 0],
        sigmas: ['43', 0],
        latent_image: ['9', 0],
      },
    };
    graph['40'] = { class_type: 'RandomNoise', inputs: { noise_seed: 1 } };
    graph['41'] = {
      class_type: 'CFGGuider',
      inputs: { model: ['1', 0], positive: ['7', 0], negative: ['8', 0], cfg: 2.5 },
    };
    graph['42'] = { class_type: 'KSamplerSelect', inputs: { sampler_name: 'euler' } };
    graph['43'] = {
      class_type: 'BasicScheduler',
      inputs: { model: ['1', 0], scheduler: 'simple', steps: 12, denoise: 1 },
    };
    const { manifest } = scaffold(graph);
    expect(manifest.inputs).toMatchObject({
      prompt: { node: '7' },
      negativePrompt: { node: '8' },
      seed: { node: '40', input: 'noise_seed' },
      steps: { node: '43' },
      cfg: { node: '41' },
    });
    expect(manifest.parameters).toMatchObject({ steps: { default: 12 }, cfg: { default: 2.5 } });
    expect(manifest.stages.find(({ stage }) => stage === 'SAMPLING')?.nodes).toEqual(['10']);
  });
});

describe('readPublished', () => {
  const graph = exported();

  it.each([
    ['by itself', graph],
    ['as the body of POST /prompt', { client_id: 'x', prompt: graph }],
    ['as a request to a hosted worker', { input: { workflow: graph, images: [] } }],
    ['with entries that are no nodes', { ...graph, extra: {}, version: 1 }],
  ])('finds a graph %s', (_, json) => {
    expect(readPublished(json)).toEqual({ kind: 'api', graph });
  });

  it.each([
    ['a file of the editor without nodes', { nodes: [], links: [], version: 0.4 }, /has no nodes/],
    ['a node whose inputs are a list', { '5': { class_type: 'A', inputs: [] } }, /faulty node "5": inputs/],
    ['a list', [1, 2], /is not a graph: takes/],
    ['an empty object', {}, /is not a graph/],
  ])('says what the file is instead: %s', (_, json, message) => {
    expect(readPublished(json)).toMatchObject({ kind: 'none', message: expect.stringMatching(message) });
  });
});
