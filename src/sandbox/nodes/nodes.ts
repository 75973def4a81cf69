import sharp from 'sharp';
import type { EngineFiles, FolderType, StoredFile } from '../files.ts';
import { NodeFailure } from './failures.ts';
import { withPngText } from './png-text.ts';
import { composeScene, type Picture, toPicture, toSharp } from './render.ts';
import { sample } from './sampling.ts';
import { kontextSize, megapixelSize, scale, scaledSize } from './scaling.ts';
import { type Inputs, integerOf, linked, linkedIfAny, numberOf, textOf, type Value } from './values.ts';

/** What a node may do besides computing. */
export interface NodeContext {
  readonly files: EngineFiles;
  /** The submitted graph as JSON, for the PNG's text chunk. */
  readonly graphJson: string;
  /** Works for so many sampling steps of time. Throws Interrupted or Dropped. */
  work(steps: number): Promise<void>;
  /** Called before a sampling begins; throws what a fault asks for. */
  beforeSampling(prompt: string): void;
  /** Whether steps take no time at all: then previews are kept few. */
  readonly hurried: boolean;
  /** Tells that `value` of `max` steps are done, with a picture of it. */
  step(value: number, max: number, jpeg: Buffer): void;
}

export interface NodeResult {
  readonly values: readonly Value[];
  /** What an output node shows, under `ui` in Python. */
  readonly ui?: { readonly images: readonly StoredFile[] };
}

type NodeWork = (inputs: Inputs, context: NodeContext) => Promise<NodeResult>;

const WEIGHTS: Value = { kind: 'weights' };
const MASK: Value = { kind: 'mask' };

function image(picture: Picture): NodeResult {
  return { values: [{ kind: 'image', picture }] };
}

const load: NodeWork = async (_inputs, context) => {
  await context.work(1);
  return { values: [WEIGHTS] };
};

const patch: NodeWork = async () => ({ values: [WEIGHTS] });

const passConditioning: NodeWork = async inputs => ({
  values: [linked(inputs, 'conditioning', 'conditioning')],
});

/** The work of each node class that the sandbox has. */
const WORK: Readonly<Record<string, NodeWork>> = {
  UNETLoader: load,
  CLIPLoader: load,
  VAELoader: load,
  LoraLoaderModelOnly: load,
  ModelSamplingAuraFlow: patch,
  CFGNorm: patch,
  ReferenceLatent: passConditioning,
  FluxKontextMultiReferenceLatentMethod: passConditioning,
  async LoadImage(inputs, { files }) {
    const path = files.inputPath(textOf(inputs, 'image'));
    const picture = await decode(path);
    return { values: [{ kind: 'image', picture }, MASK] };
  },
  async ImageScale(inputs) {
    const { picture } = linked(inputs, 'image', 'image');
    const { width, height } = scaledSize(
      picture,
      numberOf(inputs, 'width', 0),
      numberOf(inputs, 'height', 0),
    );
    return image(await scale(picture, width, height, textOf(inputs, 'crop') === 'center'));
  },
  async ImageScaleToTotalPixels(inputs) {
    const { picture } = linked(inputs, 'image', 'image');
    const size = megapixelSize(
      picture,
      numberOf(inputs, 'megapixels', 1),
      numberOf(inputs, 'resolution_steps', 1),
    );
    return image(await scale(picture, size.width, size.height, false));
  },
  async FluxKontextImageScale(inputs) {
    const { picture } = linked(inputs, 'image', 'image');
    const { width, height } = kontextSize(picture);
    return image(await scale(picture, width, height, true));
  },
  async TextEncodeQwenImageEditPlus(inputs, context) {
    await context.work(2);
    const pictures = ['image1', 'image2', 'image3'].flatMap(name => {
      const value = linkedIfAny(inputs, name, 'image');
      return value === null ? [] : [value.picture];
    });
    return { values: [{ kind: 'conditioning', prompt: textOf(inputs, 'prompt'), pictures }] };
  },
  async EmptySD3LatentImage(inputs) {
    const side = (name: string): number => Math.floor(numberOf(inputs, name, 1024) / 8) * 8;
    return { values: [{ kind: 'latent', width: side('width'), height: side('height'), scene: null }] };
  },
  async VAEEncode(inputs, context) {
    const { picture } = linked(inputs, 'pixels', 'image');
    await context.work(1);
    // The middle is kept, each side a multiple of 8 (`comfy/sd.py`, vae_encode_crop_pixels).
    const width = Math.floor(picture.width / 8) * 8;
    const height = Math.floor(picture.height / 8) * 8;
    if (width === 0 || height === 0)
      throw new NodeFailure('RuntimeError', 'the picture is smaller than 8 pixels');
    return { values: [{ kind: 'latent', width, height, scene: null }] };
  },
  async KSampler(inputs, context) {
    const latent = linked(inputs, 'latent_image', 'latent');
    const positive = linked(inputs, 'positive', 'conditioning');
    const scene = {
      prompt: positive.prompt,
      pictures: positive.pictures,
      seed: integerOf(inputs, 'seed'),
      steps: numberOf(inputs, 'steps', 20),
      cfg: numberOf(inputs, 'cfg', 1),
    };
    await sample(scene, latent.width, latent.height, context);
    return { values: [{ ...latent, scene }] };
  },
  async VAEDecode(inputs, context) {
    const { width, height, scene } = linked(inputs, 'samples', 'latent');
    await context.work(1);
    const blank = { prompt: '', pictures: [], seed: 0n, steps: 0, cfg: 0 };
    return image(await composeScene(scene ?? blank, width, height));
  },
  SaveImage: (inputs, context) => save(inputs, context, textOf(inputs, 'filename_prefix'), 'output'),
  PreviewImage: (inputs, context) => save(inputs, context, 'ComfyUI_temp_sbox', 'temp'),
};

/** Runs one node. Throws a NodeFailure when it raises, Interrupted or Dropped when it must stop. */
export async function runNode(classType: string, inputs: Inputs, context: NodeContext): Promise<NodeResult> {
  const work = Object.hasOwn(WORK, classType) ? WORK[classType] : undefined;
  if (work === undefined) throw new NodeFailure('NotImplementedError', `the sandbox has no ${classType}`);
  return work(inputs, context);
}

async function decode(path: string): Promise<Picture> {
  try {
    return await toPicture(sharp(path, { limitInputPixels: false }).autoOrient());
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
  const { picture } = linked(inputs, 'images', 'image');
  const png = await toSharp(picture).png({ compressionLevel: 4 }).toBuffer();
  try {
    const stored = await files.save(prefix, withPngText(png, 'prompt', graphJson), type, picture);
    return { values: [], ui: { images: [stored] } };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new NodeFailure('Exception', error.message);
  }
}
