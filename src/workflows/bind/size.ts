import type { Manifest } from '../manifest.ts';

export interface Size {
  width: number;
  height: number;
}

/** The working sizes that suit a model, as its manifest has them. */
export type SizeRules = Manifest['size'];

/** One megapixel as ComfyUI counts it. */
export const PIXELS_PER_MEGAPIXEL = 1024 * 1024;

/** The largest fraction of the image that is cropped to make the encoder's rescale exact. */
const MAX_CROP_FOR_REFERENCE = 0.04;

/**
 * The size of a reference image of `size` after the encoder's rescale: the area is brought to `pixels` and each side
 * rounded to a multiple, halves to the even one (TextEncodeQwenImageEditPlus in ComfyUI's comfy_extras/nodes_qwen.py
 * with Python's `round`: 1024 x 1024 pixels, multiples of 8).
 */
export function referenceSize(size: Size, reference: { pixels: number; multipleOf: number }): Size {
  const scale = Math.sqrt(reference.pixels / (size.width * size.height));
  const snap = (side: number) => roundHalfEven((side * scale) / reference.multipleOf) * reference.multipleOf;
  return { width: snap(size.width), height: snap(size.height) };
}

/**
 * The size at which to edit an image with the shape of `source`: about `megapixels` (of 1024 x 1024 pixels), with sides
 * that `rules` allow, and as close to the image's shape as possible. Near the encoder's own area, a size is chosen that
 * the encoder's rescale does not change, so that the reference lies exactly on the canvas and the edit does not shift or
 * zoom; elsewhere a size whose shape the rescale keeps is preferred. The image is expected to be cropped, centred, to
 * the shape of the result.
 *
 * Throws a RangeError when a side of `source` or `megapixels` is not a finite number above 0, or when no size satisfies
 * the rules.
 */
export function workingSize(source: Size, megapixels: number, rules: SizeRules): Size {
  const pixels = megapixels * PIXELS_PER_MEGAPIXEL;
  for (const value of [source.width, source.height, pixels]) {
    if (!(value > 0 && Number.isFinite(value))) {
      throw new RangeError(
        `a size takes numbers above 0, got ${source.width}x${source.height} at ${megapixels} megapixels`,
      );
    }
  }
  const { multipleOf, areaTolerance } = rules;
  const shortest = Math.ceil(rules.minSide / multipleOf) * multipleOf;
  const longest = Math.floor(rules.maxSide / multipleOf) * multipleOf;
  if (!(shortest > 0 && shortest <= longest)) {
    throw new RangeError(`no multiple of ${multipleOf} lies between ${rules.minSide} and ${rules.maxSide}`);
  }
  const ideal = idealSize(source.width / source.height, pixels, shortest, longest);
  const candidates = candidatesNear(ideal, multipleOf, shortest, longest).map(size =>
    judge(size, ideal, rules),
  );
  const near = candidates.filter(({ area }) => area <= areaTolerance);
  const exact = near.filter(({ kept, crop }) => kept && crop <= MAX_CROP_FOR_REFERENCE);
  const pool = [exact, near, candidates].find(({ length }) => length > 0) ?? candidates;
  return pool.reduce((left, right) => (right.cost < left.cost ? right : left)).size;
}

/**
 * The size that ImageScaleToTotalPixels gives an image when its `resolution_steps` is `multipleOf`: the image's shape
 * at `megapixels`, each side rounded (ComfyUI's comfy_extras/nodes_post_processing.py).
 */
export function scaledSize(source: Size, megapixels: number, multipleOf: number): Size {
  const scale = Math.sqrt((megapixels * PIXELS_PER_MEGAPIXEL) / (source.width * source.height));
  const snap = (side: number) => Math.max(1, roundHalfEven((side * scale) / multipleOf)) * multipleOf;
  return { width: snap(source.width), height: snap(source.height) };
}

/** The size that VAEEncode crops an image to: sides rounded down to a multiple of 8 (ComfyUI's comfy/sd.py). */
export function encodedSize({ width, height }: Size): Size {
  const cut = (side: number) => Math.max(8, side - (side % 8));
  return { width: cut(width), height: cut(height) };
}

function idealSize(aspect: number, pixels: number, shortest: number, longest: number): Size {
  const tall = aspect < 1;
  const ratio = tall ? 1 / aspect : aspect;
  // When the shorter side is raised to its limit, the longer one shrinks to keep the area, and vice versa.
  const short = clamp(Math.sqrt(pixels / ratio), shortest, longest);
  const long = clamp(Math.min(pixels / short, short * ratio), shortest, longest);
  const settled = clamp(Math.max(short, Math.min(pixels / long, long)), shortest, longest);
  return tall ? { width: settled, height: long } : { width: long, height: settled };
}

function candidatesNear(ideal: Size, multipleOf: number, shortest: number, longest: number): Size[] {
  const sides = (length: number): number[] => {
    const middle = Math.round(length / multipleOf);
    // A long side has many multiples nearby whose shapes differ little, so the reach grows with it.
    const reach = 2 + Math.ceil(middle * MAX_CROP_FOR_REFERENCE);
    return Array.from({ length: 2 * reach + 1 }, (_, index) => (middle - reach + index) * multipleOf).filter(
      side => side >= shortest && side <= longest,
    );
  };
  const heights = sides(ideal.height);
  return sides(ideal.width).flatMap(width => heights.map(height => ({ width, height })));
}

interface Candidate {
  size: Size;
  /** The fraction of the image that a centred crop to this shape loses. */
  crop: number;
  /** How far the area differs from the ideal one, as a fraction. */
  area: number;
  /** Whether the encoder's rescale leaves this size unchanged. */
  kept: boolean;
  cost: number;
}

function judge(size: Size, ideal: Size, rules: SizeRules): Candidate {
  const shape = Math.abs(Math.log(size.width / size.height / (ideal.width / ideal.height)));
  const area = Math.abs((size.width * size.height) / (ideal.width * ideal.height) - 1);
  const reference = rules.reference === undefined ? size : referenceSize(size, rules.reference);
  const drift =
    reference.width > 0 && reference.height > 0
      ? Math.abs(Math.log(reference.width / reference.height / (size.width / size.height)))
      : Number.MAX_VALUE;
  return {
    size,
    crop: 1 - Math.exp(-shape),
    area,
    kept: rules.reference !== undefined && reference.width === size.width && reference.height === size.height,
    // A drifting reference stretches the edit, which is more visible than a few cropped rows; the area is least visible.
    cost: shape + 1.5 * drift + 0.15 * area,
  };
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
