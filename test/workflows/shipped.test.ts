import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { bindWorkflow } from '../../src/workflows/bind/bind.ts';
import { defaultsFor } from '../../src/workflows/bind/parameters.ts';
import { checkAgainstEngine } from '../../src/workflows/check/engine.ts';
import { danglingLinks } from '../../src/workflows/check/graph.ts';
import { type ObjectInfo, parseObjectInfo } from '../../src/workflows/check/object-info.ts';
import { checkWorkflow } from '../../src/workflows/check/workflow.ts';
import { loadWorkflows } from '../../src/workflows/files/load.ts';
import { linksOf } from '../../src/workflows/graph.ts';
import type { Workflow } from '../../src/workflows/workflow.ts';
import {
  DESCRIBED_CLASSES,
  fittingRequest,
  RECORDED_VERSIONS,
  recordedInfo,
  requestFor,
  SHIPPED_FOLDER,
  shipped,
} from '../support/comfyui/workflows.ts';

const NAMES = [
  'qwen-image-edit-plus',
  'qwen-image-edit-2511',
  'qwen-image-edit-plus-nunchaku',
  'qwen-image-edit-plus-lightning',
  'qwen-image-edit-plus-inpaint',
];
const SLOTS: (1 | 2 | 3)[][] = [[1], [1, 2], [1, 2, 3], [1, 3]];

let recorded: Record<string, unknown>;

/** An engine that has every class; `files` are the diffusion models in its folder. */
function engineWith(...files: string[]): ObjectInfo {
  const unet = {
    input: { required: { unet_name: [files], weight_dtype: [['default', 'fp8_e4m3fn']] } },
    output: ['MODEL'],
  };
  return parseObjectInfo({ ...recorded, ...DESCRIBED_CLASSES, UNETLoader: unet });
}

beforeAll(async () => {
  recorded = await recordedInfo('0.3.64');
});

describe('the shipped workflows', () => {
  it('load without problems, the most preferred first', async () => {
    const { workflows, broken } = await loadWorkflows(SHIPPED_FOLDER);
    expect(broken).toEqual([]);
    expect(workflows.map(({ name }) => name)).toEqual(NAMES);
    for (const workflow of workflows) expect(checkWorkflow(workflow)).toEqual([]);
  });

  it('name the schema that is shipped beside them', async () => {
    for (const name of NAMES) {
      const text = await readFile(join(SHIPPED_FOLDER, name, 'workflow.json'), 'utf8');
      expect(JSON.parse(text)).toMatchObject({ $schema: '../../schema/workflow.schema.json', name });
    }
  });

  it.each(NAMES)('%s runs on an engine that has its classes and files', async name => {
    const info = engineWith(
      'qwen_image_edit_2509_fp8_e4m3fn.safetensors',
      'qwen_image_edit_2511_bf16.safetensors',
    );
    expect(checkAgainstEngine(await shipped(name), info)).toEqual([]);
  });

  describe.each(NAMES)('%s', name => {
    it.each(SLOTS.map(slots => [slots.join('+'), slots] as const))(
      'binds images %s',
      async (_title, slots) => {
        const workflow = await shipped(name);
        const info = engineWith();
        const { graph, plan, outputNode, size } = bindWorkflow(workflow, fittingRequest(workflow, slots));
        expect(danglingLinks(graph)).toEqual([]);
        for (const node of Object.values(graph)) {
          const known = info.get(node.class_type);
          for (const input of Object.keys(node.inputs))
            expect(known?.inputs.has(input), `${node.class_type}.${input}`).toBe(true);
          for (const [input, { required }] of known?.inputs ?? []) {
            if (required) expect(node.inputs, node.class_type).toHaveProperty(input);
          }
        }
        const loaders = Object.values(graph).filter(node => node.class_type === 'LoadImage');
        expect(loaders.map(node => node.inputs.image).sort()).toEqual([
          ...(workflow.manifest.mask === undefined ? [] : ['qwen-edit/mask.png']),
          ...slots.map(slot => `qwen-edit/picture-${slot}.png`),
        ]);
        const encoders = Object.values(graph).filter(
          node => node.class_type === 'TextEncodeQwenImageEditPlus',
        );
        expect(encoders).toHaveLength(2);
        for (const encoder of encoders) {
          // The slot keeps its number: image 3 without image 2 stays image 3.
          expect(
            linksOf(encoder)
              .map(({ input }) => input)
              .filter(input => input.startsWith('image'))
              .sort(),
          ).toEqual(slots.map(slot => `image${slot}`));
        }
        expect(Object.keys(plan.nodes).sort()).toEqual(Object.keys(graph).sort());
        expect(plan.samplerNodes).toEqual(['3']);
        expect(plan.nodes['3']).toMatchObject({ stage: 'SAMPLING', weight: 12 });
        expect(outputNode).toBe('60');
        expect(graph['60']?.inputs.filename_prefix).toBe('QwenEdit/api_0b9c3f1e-77aa-4c50-9d8e-1f2a3b4c5d6e');
        expect(graph['3']?.inputs).toMatchObject({ seed: '18446744073709551615', steps: 12, cfg: 3.5 });
        expect(size).toEqual({ width: 1360, height: 768 });
        expect(graph['93']?.inputs).toMatchObject({ ...size, image: ['78', 0], crop: 'center' });
        // The latent and the encoders take the same image.
        expect(graph['88']?.inputs.pixels).toEqual(['93', 0]);
        expect(encoders.map(node => node.inputs.image1)).toEqual([
          ['93', 0],
          ['93', 0],
        ]);
      },
    );

    it('puts each prompt on its own side', async () => {
      const workflow = await shipped(name);
      const { graph } = bindWorkflow(workflow, fittingRequest(workflow, [1]));
      const textBehind = (input: string): unknown => {
        const link = linksOf(graph['3'] ?? { class_type: '', inputs: {} }).find(
          entry => entry.input === input,
        )?.link;
        const node = graph[link?.[0] ?? ''];
        const behind =
          node?.class_type === 'FluxKontextMultiReferenceLatentMethod'
            ? linksOf(node)[0]?.link[0]
            : link?.[0];
        return graph[behind ?? '']?.inputs.prompt;
      };
      expect(textBehind('positive')).toBe('put the hat of image 2 on the cat');
      expect(textBehind('negative')).toBe('blurry');
    });
  });
});

describe.each(RECORDED_VERSIONS)('ComfyUI %s', version => {
  it.each(NAMES)('takes every graph of %s, given its files', async name => {
    const info = parseObjectInfo({ ...DESCRIBED_CLASSES, ...(await recordedInfo(version)) });
    const methods = info
      .get('FluxKontextMultiReferenceLatentMethod')
      ?.inputs.get('reference_latents_method')?.options;
    const problems = checkAgainstEngine(await shipped(name), info).filter(
      ({ kind }) => kind !== 'model-missing',
    );
    const tooOld = name === 'qwen-image-edit-2511' && methods?.includes('index_timestep_zero') !== true;
    expect(problems.map(({ kind }) => kind)).toEqual(tooOld ? ['input-invalid', 'input-invalid'] : []);
  });
});

describe('defaults and choices', () => {
  const defaults = ({ manifest }: Workflow, chosen = {}) => {
    const { steps, cfg, megapixels } = defaultsFor(manifest, chosen);
    return { steps, cfg, megapixels };
  };

  it('are the documented ones, or those that the weights were made for', async () => {
    expect(defaults(await shipped('qwen-image-edit-plus'))).toEqual({ steps: 40, cfg: 4, megapixels: 1 });
    expect(defaults(await shipped('qwen-image-edit-2511'))).toEqual({ steps: 40, cfg: 4, megapixels: 1 });
    expect(defaults(await shipped('qwen-image-edit-plus-nunchaku'))).toEqual({
      steps: 40,
      cfg: 4,
      megapixels: 1,
    });
    const lightning = await shipped('qwen-image-edit-plus-lightning');
    expect(defaults(lightning)).toEqual({ steps: 8, cfg: 1, megapixels: 1 });
    expect(defaults(lightning, { lightning: 4 })).toEqual({ steps: 4, cfg: 1, megapixels: 1 });
  });

  it('choose the files', async () => {
    const lightning = await shipped('qwen-image-edit-plus-lightning');
    const lora = (parameters: Record<string, unknown>) =>
      bindWorkflow(lightning, requestFor([1], { parameters })).graph['89']?.inputs;
    expect(lora({})?.lora_name).toBe('Qwen-Image-Edit-2509-Lightning-8steps-V1.0-bf16.safetensors');
    expect(lora({ lightning: 4, loraStrength: 0.8 })).toMatchObject({
      lora_name: 'Qwen-Image-Edit-2509-Lightning-4steps-V1.0-bf16.safetensors',
      strength_model: 0.8,
    });
    const nunchaku = bindWorkflow(
      await shipped('qwen-image-edit-plus-nunchaku'),
      requestFor([1], { parameters: { precision: 'fp4', rank: 32, blocksOnGpu: 5, cpuOffload: 'enable' } }),
    );
    expect(nunchaku.graph['115']?.inputs).toEqual({
      model_name: 'svdq-fp4_r32-qwen-image-edit-2509.safetensors',
      cpu_offload: 'enable',
      num_blocks_on_gpu: 5,
      use_pin_memory: 'disable',
    });
  });
});

describe('an engine that lacks something', () => {
  it('is reported with the file and its folder', async () => {
    const info = engineWith('sd_xl.safetensors');
    expect(checkAgainstEngine(await shipped('qwen-image-edit-plus'), info)).toEqual([
      {
        kind: 'model-missing',
        alternatives: expect.arrayContaining(['Qwen-Image-Edit-2509-Q8_0.gguf']),
        file: 'qwen_image_edit_2509_fp8_e4m3fn.safetensors',
        folder: 'diffusion_models',
      },
    ]);
    const lightning = await shipped('qwen-image-edit-plus-lightning');
    const complete = engineWith('qwen_image_edit_2509_fp8_e4m3fn.safetensors');
    expect(checkAgainstEngine(lightning, complete, { lightning: 4 })).toEqual([
      {
        kind: 'model-missing',
        alternatives: [],
        file: 'Qwen-Image-Edit-2509-Lightning-4steps-V1.0-bf16.safetensors',
        folder: 'loras',
      },
    ]);
  });

  it('is reported with the class', async () => {
    const { NunchakuQwenImageDiTLoader: _, ...others } = DESCRIBED_CLASSES;
    const info = parseObjectInfo({ ...recorded, ...others });
    expect(checkAgainstEngine(await shipped('qwen-image-edit-plus-nunchaku'), info)).toEqual([
      { kind: 'node-missing', classType: 'NunchakuQwenImageDiTLoader' },
    ]);
  });

  it('cannot run 2511 when it would silently do something else', async () => {
    const method = {
      input: {
        required: {
          conditioning: ['CONDITIONING'],
          reference_latents_method: [['offset', 'index', 'uxo/uno']],
        },
      },
      output: ['CONDITIONING'],
    };
    const unet = {
      input: {
        required: { unet_name: [['qwen_image_edit_2511_bf16.safetensors']], weight_dtype: [['default']] },
      },
      output: ['MODEL'],
    };
    const info = parseObjectInfo({
      ...recorded,
      ...DESCRIBED_CLASSES,
      UNETLoader: unet,
      FluxKontextMultiReferenceLatentMethod: method,
    });
    expect(checkAgainstEngine(await shipped('qwen-image-edit-2511'), info)).toEqual(
      ['118', '119'].map(node => ({
        kind: 'input-invalid',
        node,
        input: 'reference_latents_method',
        message: 'takes one of offset, index, uxo/uno, got "index_timestep_zero"',
      })),
    );
  });
});
