import sharp from 'sharp';
import type { EngineFiles, FolderType } from '../files.ts';
import {
  kontextSize,
  megapixelSize,
  type RgbImage,
  type Size,
  scale,
  scaledSize,
  toRgb,
  toSharp,
  withPngText,
} from './images.ts';
import {
  alphaMask,
  channelOf,
  composite,
  cropToEights,
  growMask,
  invertMask,
  type MaskImage,
  maskToImage,
  scaleNearest,
  solidMask,
  thresholdMask,
  throughVae,
} from './masks.ts';
import { noiseOf, previewOf, previewsOf } from './previews.ts';
import { composeScene, type Scene } from './scene.ts';
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
  /** Takes the time of so many sampling steps. Throws Interrupted or Dropped. */
  work(steps: number): Promise<void>;
  /** Called before a sampling begins; throws the exception of a fault. */
  beforeSampling(prompt: string): void;
  /** Sends the progress, `value` of `max` steps, with a preview. */
  step(value: number, max: number, jpeg: Buffer): void;
}

type Node = (inputs: Inputs, context: NodeContext) => Promise<NodeResult>;

/** The channels of an image, by the names that nodes give them. */
const COLOURS = ['red', 'green', 'blue'];
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
  UnetLoaderGGUF: load,
  CLIPLoader: load,
  VAELoader: load,
  LoraLoaderModelOnly: load,
  ModelSamplingAuraFlow: patch,
  CFGNorm: patch,
  ReferenceLatent: passConditioning,
  FluxKontextMultiReferenceLatentMethod: passConditioning,
  async LoadImage(inputs, { files }) {
    const path = files.inputPath(textOf(inputs, 'image'));
    return { values: [imageValue(await decode(path)), maskValue(await alphaMask(path))] };
  },
  async LoadImageMask(inputs, { files }) {
    const path = files.inputPath(textOf(inputs, 'image'));
    const channel = COLOURS.indexOf(textOf(inputs, 'channel'));
    const image = await decode(path);
    if (channel >= 0) return { values: [maskValue(channelOf(image, channel))] };
    const mask = await alphaMask(path);
    // Unlike LoadImage, it takes an image without transparency as opaque.
    const opaque = mask.width !== image.width || mask.height !== image.height;
    return { values: [maskValue(opaque ? solidMask(image, 0) : mask)] };
  },
  async ImageToMask(inputs) {
    const { image } = linked(inputs, 'image', 'image');
    const channel = COLOURS.indexOf(textOf(inputs, 'channel'));
    if (channel < 0)
      throw new NodeFailure('IndexError', 'index 3 is out of bounds for dimension 3 with size 3');
    return { values: [maskValue(channelOf(image, channel))] };
  },
  async MaskToImage(inputs) {
    return { values: [imageValue(maskToImage(linked(inputs, 'mask', 'mask').mask))] };
  },
  async InvertMask(inputs) {
    return { values: [maskValue(invertMask(linked(inputs, 'mask', 'mask').mask))] };
  },
  async ThresholdMask(inputs) {
    const { mask } = linked(inputs, 'mask', 'mask');
    return { values: [maskValue(thresholdMask(mask, numberOf(inputs, 'value', 0.5)))] };
  },
  async GrowMask(inputs) {
    const { mask } = linked(inputs, 'mask', 'mask');
    const tapered = inputs.tapered_corners !== false;
    return { values: [maskValue(await growMask(mask, numberOf(inputs, 'expand', 0), tapered))] };
  },
  async SetLatentNoiseMask(inputs) {
    const latent = linked(inputs, 'samples', 'latent');
    return { values: [{ ...latent, noiseMask: linked(inputs, 'mask', 'mask').mask, drawn: null }] };
  },
  async ImageCompositeMasked(inputs) {
    const { image: destination } = linked(inputs, 'destination', 'image');
    const { image } = linked(inputs, 'source', 'image');
    const source = inputs.resize_source === true ? await scale(image, destination, false) : image;
    const mask = optionalLinked(inputs, 'mask', 'mask')?.mask ?? null;
    const at = { x: numberOf(inputs, 'x', 0), y: numberOf(inputs, 'y', 0) };
    return { values: [imageValue(await composite(destination, source, mask, at))] };
  },
  async ImageScale(inputs) {
    const { image } = linked(inputs, 'image', 'image');
    const size = scaledSize(image, numberOf(inputs, 'width', 0), numberOf(inputs, 'height', 0));
    const crop = textOf(inputs, 'crop') === 'center';
    if (textOf(inputs, 'upscale_method') !== 'nearest-exact') return scaleTo(image, size, crop);
    checkSize(size);
    return { values: [imageValue(scaleNearest(image, size, crop))] };
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
    const [width, height] = [side('width'), side('height')];
    return {
      values: [{ kind: 'latent', width, height, scene: null, source: null, noiseMask: null, drawn: null }],
    };
  },
  async VAEEncode(inputs, context) {
    const { image } = linked(inputs, 'pixels', 'image');
    await context.work(1);
    if (Math.min(image.width, image.height) < 8)
      throw new NodeFailure('RuntimeError', 'the image is smaller than 8 pixels');
    const source = await cropToEights(image);
    const { width, height } = source;
    return { values: [{ kind: 'latent', width, height, scene: null, source, noiseMask: null, drawn: null }] };
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
      masked: latent.noiseMask !== null,
    };
    context.beforeSampling(prompt);
    const drawn = await draw({ ...latent, scene });
    await sample(scene, drawn, context);
    return { values: [{ ...latent, scene, drawn }] };
  },
  async VAEDecode(inputs, context) {
    const latent = linked(inputs, 'samples', 'latent');
    await context.work(1);
    return { values: [imageValue(latent.drawn ?? (await draw(latent)))] };
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

function maskValue(mask: MaskImage): Value {
  return { kind: 'mask', mask };
}

async function scaleTo(image: RgbImage, size: Size, crop: boolean): Promise<NodeResult> {
  checkSize(size);
  return { values: [imageValue(await scale(image, size, crop))] };
}

function checkSize({ width, height }: Size): void {
  if (width > MAX_SIDE || height > MAX_SIDE) {
    throw new NodeFailure('RuntimeError', `an image of ${width}x${height} is too large`);
  }
}

type Latent = Extract<Value, { kind: 'latent' }>;

/** The image of a latent. Where its noise mask is 0 the encoded image is kept, as far as a VAE keeps one. */
async function draw({ scene, source, noiseMask, width, height }: Omit<Latent, 'drawn'>): Promise<RgbImage> {
  const blank = { prompt: '', images: [], seed: 0n, steps: 0, cfg: 0, masked: false };
  const drawn = await composeScene(scene ?? blank, { width, height });
  return noiseMask === null || source === null ? drawn : composite(throughVae(source), drawn, noiseMask);
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
/** Different previews per sampling at most; the other steps repeat the one before, which saves time. */
const FRAMES = 12;
/** Milliseconds between two different previews at least, but for the last one. */
const FRAME_MS = 100;

/** Simulates sampling: takes the scene's number of steps, each with progress and a preview between noise and the image. */
async function sample({ seed, steps }: Scene, drawn: RgbImage, context: NodeContext): Promise<void> {
  const image = await previewOf(drawn, PREVIEW_SIDE);
  const preview = previewsOf(image, noiseOf(image, seed));
  let last = 0;
  let lastAt = Number.NEGATIVE_INFINITY;
  let jpeg: Buffer = Buffer.alloc(0);
  for (let step = 1; step <= steps; step += 1) {
    await context.work(1);
    const frame = Math.ceil((step * Math.min(FRAMES, steps)) / steps);
    const at = performance.now();
    if (step === steps || (frame !== last && at - lastAt >= FRAME_MS)) {
      [last, lastAt] = [frame, at];
      jpeg = await preview(step / steps);
    }
    context.step(step, steps, jpeg);
  }
}
