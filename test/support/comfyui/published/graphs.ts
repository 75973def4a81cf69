import type { Graph } from '../../../../src/workflows/graph.ts';

/** Where the fields of a request end up in the bound graph, as `node.input`. */
export interface Places {
  readonly prompt: string;
  readonly negativePrompt?: string | undefined;
  readonly seed: string | readonly string[];
  readonly steps?: string | undefined;
  readonly cfg?: string | undefined;
  readonly width?: string | readonly string[] | undefined;
  readonly height?: string | readonly string[] | undefined;
  readonly images: readonly string[];
  readonly output: string;
}

/** A file such as people publish, written for these tests. */
export interface PublishedFile {
  /** What is special about it. */
  readonly trait: string;
  readonly json: unknown;
  readonly places: Places;
  /** What the command must say of its changes. */
  readonly changes?: readonly RegExp[];
}

/** The places of `plain()`. */
export const PLAIN: Places = {
  prompt: '111.prompt',
  negativePrompt: '110.prompt',
  seed: '3.seed',
  steps: '3.steps',
  cfg: '3.cfg',
  width: '93.width',
  height: '93.height',
  images: ['78.image', '106.image'],
  output: '60.filename_prefix',
};

/** An edit of two images, the first scaled to the canvas. */
export function plain(): Graph {
  return {
    '37': {
      class_type: 'UNETLoader',
      inputs: { unet_name: 'qwen_image_edit_2509_fp8_e4m3fn.safetensors', weight_dtype: 'default' },
    },
    '38': {
      class_type: 'CLIPLoader',
      inputs: {
        clip_name: 'qwen_2.5_vl_7b_fp8_scaled.safetensors',
        type: 'qwen_image',
        device: 'default',
      },
    },
    '39': { class_type: 'VAELoader', inputs: { vae_name: 'qwen_image_vae.safetensors' } },
    '66': { class_type: 'ModelSamplingAuraFlow', inputs: { model: ['37', 0], shift: 3 } },
    '75': { class_type: 'CFGNorm', inputs: { model: ['66', 0], strength: 1 } },
    '78': { class_type: 'LoadImage', inputs: { image: 'harbour.png' } },
    '106': { class_type: 'LoadImage', inputs: { image: 'lamp.png' } },
    '93': {
      class_type: 'ImageScale',
      inputs: { image: ['78', 0], upscale_method: 'lanczos', width: 1024, height: 1024, crop: 'center' },
    },
    '111': {
      class_type: 'TextEncodeQwenImageEditPlus',
      inputs: {
        clip: ['38', 0],
        vae: ['39', 0],
        image1: ['93', 0],
        image2: ['106', 0],
        prompt: 'hang the lamp over the harbour',
      },
    },
    '110': {
      class_type: 'TextEncodeQwenImageEditPlus',
      inputs: { clip: ['38', 0], vae: ['39', 0], image1: ['93', 0], image2: ['106', 0], prompt: 'blurry' },
    },
    '88': { class_type: 'VAEEncode', inputs: { pixels: ['93', 0], vae: ['39', 0] } },
    '3': {
      class_type: 'KSampler',
      inputs: {
        model: ['75', 0],
        positive: ['111', 0],
        negative: ['110', 0],
        latent_image: ['88', 0],
        seed: 7,
        steps: 20,
        cfg: 2.5,
        sampler_name: 'euler',
        scheduler: 'simple',
        denoise: 1,
      },
    },
    '8': { class_type: 'VAEDecode', inputs: { samples: ['3', 0], vae: ['39', 0] } },
    '60': { class_type: 'SaveImage', inputs: { images: ['8', 0], filename_prefix: 'harbour' } },
  };
}

/** `plain()` with other inputs, nodes added, or nodes removed (null). A node without a class only changes its inputs. */
export function changed(
  changes: Record<string, { class_type?: string; inputs: Record<string, unknown> } | null>,
): Graph {
  const graph = plain();
  for (const [id, change] of Object.entries(changes)) {
    const node = graph[id];
    if (change === null) delete graph[id];
    else if (change.class_type !== undefined)
      graph[id] = { class_type: change.class_type, inputs: change.inputs };
    else if (node !== undefined) Object.assign(node.inputs, change.inputs);
  }
  return graph;
}

/** The canvas is an empty latent image, whose size comes from `width` and `height`. */
export function emptyCanvas(
  width: unknown,
  height: unknown,
  nodes: Parameters<typeof changed>[0] = {},
): Graph {
  return changed({
    '88': { class_type: 'EmptySD3LatentImage', inputs: { width, height, batch_size: 1 } },
    ...nodes,
  });
}

/** Reads a value that a place names. */
export function at(graph: Graph, place: string): unknown {
  const dot = place.lastIndexOf('.');
  return graph[place.slice(0, dot)]?.inputs[place.slice(dot + 1)];
}
