import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BindRequest } from '../../../src/workflows/bind/bind.ts';
import { loadWorkflows } from '../../../src/workflows/files/load.ts';
import type { Graph } from '../../../src/workflows/graph.ts';
import { manifestSchema } from '../../../src/workflows/manifest.ts';
import type { Workflow } from '../../../src/workflows/workflow.ts';

const ROOT = join(import.meta.dirname, '../../..');

export const SHIPPED_FOLDER = join(ROOT, 'workflows');

/** The versions of ComfyUI whose classes were recorded, as far as the recording goes. */
export const RECORDED_VERSIONS = readdirSync(join(ROOT, 'test/fixtures/object-info')).map(file =>
  file.replace(/\.json$/, ''),
);

export async function shipped(name: string): Promise<Workflow> {
  const { workflows } = await loadWorkflows(SHIPPED_FOLDER);
  const found = workflows.find(workflow => workflow.name === name);
  if (found === undefined) throw new Error(`no workflow ${name}`);
  return found;
}

/** What an engine of this version says of its classes, as recorded. */
export async function recordedInfo(version: string): Promise<Record<string, unknown>> {
  const text = await readFile(join(ROOT, 'test/fixtures/object-info', `${version}.json`), 'utf8');
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) throw new Error('the fixture is no object');
  return Object.fromEntries(Object.entries(value));
}

export function requestFor(slots: readonly (1 | 2 | 3)[], changes: Partial<BindRequest> = {}): BindRequest {
  return {
    jobId: '0b9c3f1e-77aa-4c50-9d8e-1f2a3b4c5d6e',
    images: slots.map(slot => ({ slot, name: `qwen-edit/picture-${slot}.png`, width: 1600, height: 900 })),
    prompt: 'put the hat of image 2 on the cat',
    negativePrompt: 'blurry',
    seed: '18446744073709551615',
    steps: 12,
    cfg: 3.5,
    megapixels: 1,
    parameters: {},
    ...changes,
  };
}

/** The same, with a mask if the workflow takes one. */
export function fittingRequest({ manifest }: Workflow, slots: readonly (1 | 2 | 3)[]): BindRequest {
  return requestFor(slots, manifest.mask === undefined ? {} : { mask: 'qwen-edit/mask.png' });
}

/** A small workflow of one optional picture that tests bend out of shape. */
export function smallWorkflow(): { graph: Graph; manifest: Record<string, unknown> } {
  return {
    graph: {
      '1': { class_type: 'LoadImage', inputs: { image: 'a.png' }, _meta: { title: 'First' } },
      '2': { class_type: 'LoadImage', inputs: { image: 'b.png' }, _meta: { title: 'Second' } },
      '3': {
        class_type: 'ImageScale',
        inputs: { image: ['1', 0], upscale_method: 'lanczos', width: 512, height: 512, crop: 'center' },
      },
      '4': {
        class_type: 'Encode',
        inputs: { prompt: '', image1: ['3', 0], image2: ['2', 0], strength: 1, model: 'm.safetensors' },
      },
      '5': { class_type: 'KSampler', inputs: { positive: ['4', 0], seed: 0, steps: 20, cfg: 4 } },
      '6': { class_type: 'SaveImage', inputs: { images: ['5', 0], filename_prefix: 'x' } },
    },
    manifest: {
      name: 'small',
      title: 'Small',
      images: [
        { slot: 1, required: true, target: { node: 'First', input: 'image' } },
        { slot: 2, target: { node: '2', input: 'image' } },
      ],
      inputs: {
        prompt: { node: 'Encode', input: 'prompt' },
        seed: { node: 'KSampler', input: 'seed' },
        steps: { node: 'KSampler', input: 'steps' },
        cfg: { node: 'KSampler', input: 'cfg' },
        width: { node: '3', input: 'width' },
        height: { node: '3', input: 'height' },
      },
      parameters: {
        steps: { default: 20, minimum: 1, maximum: 100 },
        cfg: { default: 4, minimum: 1, maximum: 20 },
        megapixels: { default: 1, minimum: 0.1, maximum: 4 },
      },
      extraParameters: [
        {
          name: 'strength',
          type: 'number',
          default: 1,
          minimum: 0,
          maximum: 2,
          target: { node: '4', input: 'strength' },
        },
      ],
      stages: [{ stage: 'SAMPLING', nodes: ['5'], weight: 1 }],
      requires: { nodes: [{ class: 'Encode' }], models: [{ folder: 'models', file: 'm.safetensors' }] },
      output: { node: 'SaveImage' },
    },
  };
}

export function workflowOf(graph: Graph, manifest: unknown): Workflow {
  const parsed = manifestSchema.parse(manifest);
  return { name: parsed.name, version: 'test', manifest: parsed, graph };
}

/** What an engine says of classes that no recording has: those of node packs and of other versions. */
export const DESCRIBED_CLASSES: Record<string, unknown> = {
  ImageScale: {
    input: {
      required: {
        image: ['IMAGE'],
        upscale_method: [['nearest-exact', 'bilinear', 'area', 'bicubic', 'lanczos']],
        width: ['INT', { default: 512, min: 0, max: 16384, step: 1 }],
        height: ['INT', { default: 512, min: 0, max: 16384, step: 1 }],
        crop: [['disabled', 'center']],
      },
    },
    output: ['IMAGE'],
  },
  VAEEncode: { input: { required: { pixels: ['IMAGE'], vae: ['VAE'] } }, output: ['LATENT'] },
  VAEDecode: { input: { required: { samples: ['LATENT'], vae: ['VAE'] } }, output: ['IMAGE'] },
  ImageToMask: {
    input: { required: { image: ['IMAGE'], channel: [['red', 'green', 'blue', 'alpha']] } },
    output: ['MASK'],
  },
  ThresholdMask: {
    input: { required: { mask: ['MASK'], value: ['FLOAT', { default: 0.5, min: 0, max: 1, step: 0.01 }] } },
    output: ['MASK'],
  },
  GrowMask: {
    input: {
      required: {
        mask: ['MASK'],
        expand: ['INT', { default: 0, min: -16384, max: 16384, step: 1 }],
        tapered_corners: ['BOOLEAN', { default: true }],
      },
    },
    output: ['MASK'],
  },
  SetLatentNoiseMask: { input: { required: { samples: ['LATENT'], mask: ['MASK'] } }, output: ['LATENT'] },
  ImageCompositeMasked: {
    input: {
      required: {
        destination: ['IMAGE'],
        source: ['IMAGE'],
        x: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
        y: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
        resize_source: ['BOOLEAN', { default: false }],
      },
      optional: { mask: ['MASK'] },
    },
    output: ['IMAGE'],
  },
  ModelSamplingAuraFlow: {
    input: { required: { model: ['MODEL'], shift: ['FLOAT', { default: 1.73, min: 0, max: 100 }] } },
    output: ['MODEL'],
  },
  CFGNorm: {
    input: { required: { model: ['MODEL', {}], strength: ['FLOAT', { default: 1, min: 0, max: 100 }] } },
    output: ['MODEL'],
  },
  LoraLoaderModelOnly: {
    input: {
      required: {
        model: ['MODEL'],
        lora_name: [['Qwen-Image-Edit-2509-Lightning-8steps-V1.0-bf16.safetensors']],
        strength_model: ['FLOAT', { default: 1, min: -100, max: 100 }],
      },
    },
    output: ['MODEL'],
  },
  FluxKontextMultiReferenceLatentMethod: {
    input: {
      required: {
        conditioning: ['CONDITIONING', {}],
        reference_latents_method: [
          'COMBO',
          { multiselect: false, options: ['offset', 'index', 'uxo/uno', 'index_timestep_zero'] },
        ],
      },
    },
    output: ['CONDITIONING'],
  },
  NunchakuQwenImageDiTLoader: {
    input: {
      required: {
        model_name: [['svdq-int4_r128-qwen-image-edit-2509.safetensors']],
        cpu_offload: [['auto', 'enable', 'disable'], { default: 'auto' }],
      },
      optional: {
        num_blocks_on_gpu: ['INT', { default: 1, min: 1, max: 60 }],
        use_pin_memory: [['enable', 'disable'], { default: 'disable' }],
      },
    },
    output: ['MODEL'],
  },
};
