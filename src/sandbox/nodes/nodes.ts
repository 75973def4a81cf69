import sharp from 'sharp';
import type { EngineFiles, FolderType } from '../files.ts';
import {
  composeScene,
  kontextSize,
  megapixelSize,
  noiseOf,
  previewFrame,
  previewSize,
  type RgbImage,
  type Scene,
  type Size,
  scale,
  scaledSize,
  toRgb,
  toSharp,
  withPngText,
} from './images.ts';
import {
  type Inputs,
  integerOf,
  linked,
  NodeFailure,
  type NodeResult,
  numberOf,
  optionalLinked,
  textOf,
  type Value,
} from './values.ts';

/** What a node can use besides its inputs. */
export interface NodeContext {
  readonly files: EngineFiles;
  /** The submitted graph as JSON, for the PNG's text chunk. */
  readonly graphJson: string;
  /** Whether steps take no time: then fewer different previews are drawn. */
  readonly instant: boolean;
  /** Takes the time of so many sampling steps. Throws Interrupted or Dropped. */
  work(steps: number): Promise<void>;
  /** Called before a sampling begins; throws the exception of a fault. */
  beforeSampling(prompt: string): void;
  /** Sends the progress, `value` of `max` steps, with a preview. */
  step(value: number, max: number, jpeg: Buffer): void;
}

type Node = (inputs: Inputs, context: NodeContext) => Promise<NodeResult>;

/** The longest side of an image, whatever the graph requests. */
const MAX_SIDE = 16_384;

const load: Node = async (_inputs, context) => {
  await context.work(1);
  return { values: [{ kind: 'weights' }] };
};

const patch: Node = async () => ({ values: [{ kind: 'weights' }] });

const passConditioning: Node = async inputs => ({
  values: [linked(inputs, 'conditioning', 'conditioning')],
});

/** The node classes of the sandbox. */
const NODES: Readonly<Record<string, Node>> = {
  UNETLoader: load,
  CLIPLoader: load,
  VAELoader: load,
  LoraLoaderModelOnly: load,
  ModelSamplingAuraFlow: patch,
  CFGNorm: patch,
  ReferenceLatent: passConditioning,
  FluxKontextMultiReferenceLatentMethod: passConditioning,
  async LoadImage(inputs, { files }) {
    return { values: [imageValue(await decode(files.inputPath(textOf(inputs, 'image')))), { kind: 'mask' }] };
  },
  async ImageScale(inputs) {
    const { image } = linked(inputs, 'image', 'image');
    const size = scaledSize(image, numberOf(inputs, 'width', 0), numberOf(inputs, 'height', 0));
    return scaleTo(image, size, textOf(inputs, 'crop') === 'center');
  },
  async ImageScaleToTotalPixels(inputs) {
    const { image } = linked(inputs, 'image', 'image');
    const multiple = numberOf(inputs, 'resolution_steps', 1);
    return scaleTo(image, megapixelSize(image, numberOf(inputs, 'megapixels', 1), multiple), false);
  },
  async FluxKontextImageScale(inputs) {
    const { image } = linked(inputs, 'image', 'image');
    return scaleTo(image, kontextSize(image), true);
  },
  async TextEncodeQwenImageEditPlus(inputs, context) {
    await context.work(2);
    const images = ['image1', 'image2', 'image3'].flatMap(
      name => optionalLinked(inputs, name, 'image')?.image ?? [],
    );
    return { values: [{ kind: 'conditioning', prompt: textOf(inputs, 'prompt'), images }] };
  },
  async EmptySD3LatentImage(inputs) {
    const side = (name: string): number => Math.floor(numberOf(inputs, name, 1024) / 8) * 8;
    return { values: [{ kind: 'latent', width: side('width'), height: side('height'), scene: null }] };
  },
  async VAEEncode(inputs, context) {
    const { image } = linked(inputs, 'pixels', 'image');
    await context.work(1);
    // The middle is kept, each side a multiple of 8 (`comfy/sd.py`, vae_encode_crop_pixels).
    const width = Math.floor(image.width / 8) * 8;
    const height = Math.floor(image.height / 8) * 8;
    if (width === 0 || height === 0)
      throw new NodeFailure('RuntimeError', 'the image is smaller than 8 pixels');
    return { values: [{ kind: 'latent', width, height, scene: null }] };
  },
  async KSampler(inputs, context) {
    const latent = linked(inputs, 'latent_image', 'latent');
    const { prompt, images } = linked(inputs, 'positive', 'conditioning');
    const scene = {
      prompt,
      images,
      seed: integerOf(inputs, 'seed'),
      steps: numberOf(inputs, 'steps', 20),
      cfg: numberOf(inputs, 'cfg', 1),
    };
    await sample(scene, latent, context);
    return { values: [{ ...latent, scene }] };
  },
  async VAEDecode(inputs, context) {
    const { scene, ...size } = linked(inputs, 'samples', 'latent');
    await context.work(1);
    const blank = { prompt: '', images: [], seed: 0n, steps: 0, cfg: 0 };
    return { values: [imageValue(await composeScene(scene ?? blank, size))] };
  },
  SaveImage: (inputs, context) => save(inputs, context, textOf(inputs, 'filename_prefix'), 'output'),
  PreviewImage: (inputs, context) => save(inputs, context, 'ComfyUI_temp_sbox', 'temp'),
};

/** Executes a node. Throws a NodeFailure when it raises, Interrupted or Dropped when it must stop. */
export async function runNode(classType: string, inputs: Inputs, context: NodeContext): Promise<NodeResult> {
  const node = Object.hasOwn(NODES, classType) ? NODES[classType] : undefined;
  if (node === undefined) throw new NodeFailure('NotImplementedError', `the sandbox has no ${classType}`);
  return node(inputs, context);
}

function imageValue(image: RgbImage): Value {
  return { kind: 'image', image };
}

async function scaleTo(image: RgbImage, size: Size, crop: boolean): Promise<NodeResult> {
  if (size.width > MAX_SIDE || size.height > MAX_SIDE) {
    throw new NodeFailure('RuntimeError', `an image of ${size.width}x${size.height} is too large`);
  }
  return { values: [imageValue(await scale(image, size, crop))] };
}

async function decode(path: string): Promise<RgbImage> {
  try {
    return await toRgb(sharp(path, { limitInputPixels: false }).autoOrient());
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new NodeFailure('PIL.UnidentifiedImageError', `cannot identify image file '${path}'`);
  }
}

async function save(
  inputs: Inputs,
  { files, graphJson }: NodeContext,
  prefix: string,
  type: FolderType,
): Promise<NodeResult> {
  const { image } = linked(inputs, 'images', 'image');
  const png = await toSharp(image).png({ compressionLevel: 4 }).toBuffer();
  try {
    const stored = await files.save(prefix, withPngText(png, 'prompt', graphJson), type, image);
    return { values: [], ui: { images: [stored] } };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new NodeFailure('Exception', error.message);
  }
}

/** Pixels of a preview's longer side. */
const PREVIEW_SIDE = 256;
/** Different previews per sampling; the remaining steps repeat the last one, which saves time. */
const FRAMES = 12;
const INSTANT_FRAMES = 2;

/** Simulates sampling: takes the scene's number of steps, each with progress and a preview between noise and the image. */
async function sample(scene: Scene, size: Size, context: NodeContext): Promise<void> {
  context.beforeSampling(scene.prompt);
  const preview = previewSize(size, PREVIEW_SIDE);
  const image = await composeScene(scene, preview);
  const noise = noiseOf(preview, scene.seed);
  const frames = Math.min(context.instant ? INSTANT_FRAMES : FRAMES, scene.steps);
  let drawn = 0;
  let jpeg: Buffer = Buffer.alloc(0);
  for (let step = 1; step <= scene.steps; step += 1) {
    await context.work(1);
    const frame = Math.ceil((step * frames) / scene.steps);
    if (frame !== drawn) {
      drawn = frame;
      jpeg = await previewFrame(image, noise, step / scene.steps);
    }
    context.step(step, scene.steps, jpeg);
  }
}
