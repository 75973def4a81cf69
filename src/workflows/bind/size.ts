export interface Size {
  width: number;
  height: number;
}

/** What a model wants of its working size; all lengths in pixels. */
export interface SizeRules {
  /** Both sides are multiples of this: 16 for Qwen-Image (8 for the VAE, and 2 latent cells make one patch). */
  multipleOf: number;
  /** The shortest side, rounded up to a multiple. A picture too long and thin for it is cropped at the ends. */
  minSide: number;
  /** The longest side, rounded down to a multiple. */
  maxSide: number;
  /** How far, as a fraction, the area may be from the asked one when that gives a better shape. */
  areaTolerance: number;
  /** The rescale that the graph's own encoder makes after ours; left out when it makes none. */
  reference?: { pixels: number; multipleOf: number } | undefined;
}

/** One megapixel as ComfyUI counts it. */
export const PIXELS_PER_MEGAPIXEL = 1024 * 1024;

/** More of the picture than this fraction is never cropped away for the sake of an exact reference. */
const MAX_CROP_FOR_REFERENCE = 0.04;

/**
 * The size that a reference picture of `size` has after the encoder's rescale: the area brought to `pixels`, each side
 * rounded to a multiple, halves to the even one (TextEncodeQwenImageEditPlus in ComfyUI's comfy_extras/nodes_qwen.py
 * with Python's `round`: 1024 x 1024 pixels, multiples of 8).
 */
export function referenceSize(size: Size, reference: { pixels: number; multipleOf: number }): Size {
  const scale = Math.sqrt(reference.pixels / (size.width * size.height));
  const snap = (side: number) => roundHalfEven((side * scale) / reference.multipleOf) * reference.multipleOf;
  return { width: snap(size.width), height: snap(size.height) };
}

/**
 * The size at which to work on a picture of the shape of `source`: about `megapixels` (of 1024 x 1024), sides that
 * `rules` allow, and as near to the picture's shape as can be. Where the encoder's rescale can be made a no-op (at about
 * its own area) it is, so that the reference lies exactly on the canvas and the edit does not shift or zoom; elsewhere a
 * size is preferred whose shape the rescale keeps. What still differs in shape is meant to be cropped, centred.
 *
 * `source` sides and `megapixels` must be above zero and finite. Throws a RangeError when they are not, or when the rules
 * leave no size at all.
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
  const { multipleOf } = rules;
  const shortest = Math.ceil(rules.minSide / multipleOf) * multipleOf;
  const longest = Math.floor(rules.maxSide / multipleOf) * multipleOf;
  if (!(shortest > 0 && shortest <= longest)) {
    throw new RangeError(`no multiple of ${multipleOf} lies between ${rules.minSide} and ${rules.maxSide}`);
  }
  const ideal = idealSize(source.width / source.height, pixels, shortest, longest);
  const candidates = candidatesNear(ideal, multipleOf, shortest, longest).map(size =>
    judge(size, ideal, rules),
  );
  const exact = candidates.filter(
    candidate =>
      candidate.kept && candidate.area <= rules.areaTolerance && candidate.crop <= MAX_CROP_FOR_REFERENCE,
  );
  const near = candidates.filter(candidate => candidate.area <= rules.areaTolerance);
  const pool = exact.length > 0 ? exact : near.length > 0 ? near : candidates;
  const best = pool.reduce((left, right) => (right.cost < left.cost ? right : left));
  return best.size;
}

/**
 * The size that ImageScaleToTotalPixels gives a picture when its `resolution_steps` is `multipleOf`: the picture's shape
 * at `megapixels`, each side rounded (ComfyUI's comfy_extras/nodes_post_processing.py).
 */
export function scaledSize(source: Size, megapixels: number, multipleOf: number): Size {
  const scale = Math.sqrt((megapixels * PIXELS_PER_MEGAPIXEL) / (source.width * source.height));
  const snap = (side: number) => Math.max(1, roundHalfEven((side * scale) / multipleOf)) * multipleOf;
  return { width: snap(source.width), height: snap(source.height) };
}

/** What VAEEncode leaves of a picture: it cuts the rest above a multiple of 8 from both ends (ComfyUI's comfy/sd.py). */
export function encodedSize({ width, height }: Size): Size {
  const cut = (side: number) => Math.max(8, side - (side % 8));
  return { width: cut(width), height: cut(height) };
}

function idealSize(aspect: number, pixels: number, shortest: number, longest: number): Size {
  // The shorter side decides first: what it lacks in length is taken from the longer one, so that the area holds.
  const tall = aspect < 1;
  const ratio = tall ? 1 / aspect : aspect;
  const short = clamp(Math.sqrt(pixels / ratio), shortest, longest);
  const long = clamp(Math.min(pixels / short, short * ratio), shortest, longest);
  // A longer side that met its limit gives its pixels back to the shorter one.
  const settled = clamp(Math.max(short, Math.min(pixels / long, long)), shortest, longest);
  return tall ? { width: settled, height: long } : { width: long, height: settled };
}

function candidatesNear(ideal: Size, multipleOf: number, shortest: number, longest: number): Size[] {
  const sides = (length: number): number[] => {
    const middle = Math.round(length / multipleOf);
    // A long side has many multiples within reach; their shapes differ little, so that all of them are worth a look.
    const reach = 2 + Math.ceil(middle * MAX_CROP_FOR_REFERENCE);
    const found: number[] = [];
    for (let index = middle - reach; index <= middle + reach; index++) {
      const side = index * multipleOf;
      if (side >= shortest && side <= longest) found.push(side);
    }
    return found;
  };
  const heights = sides(ideal.height);
  return sides(ideal.width).flatMap(width => heights.map(height => ({ width, height })));
}

interface Candidate {
  size: Size;
  /** The fraction of the picture that a centred crop to this shape loses. */
  crop: number;
  /** How far the area is from the asked one, as a fraction. */
  area: number;
  /** Whether the encoder's rescale leaves this size as it is. */
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
    // A drifting reference stretches the edit, which shows more than a few cropped rows; the area shows least.
    cost: shape + 1.5 * drift + 0.15 * area,
  };
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
