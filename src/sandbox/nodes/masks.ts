import sharp from 'sharp';
import { type RgbImage, type Size, toSharp } from './images.ts';

/** A mask in memory: a byte for each pixel, where ComfyUI has 0 to 1. */
export interface MaskImage extends Size {
  readonly values: Buffer;
}

/** A mask of one value. */
export function solidMask({ width, height }: Size, value: number): MaskImage {
  return { width, height, values: Buffer.alloc(width * height, value) };
}

export function invertMask({ values, ...size }: MaskImage): MaskImage {
  return { ...size, values: Buffer.from(values.map(value => 255 - value)) };
}

/** White where a mask is above a value from 0 to 1, else black. */
export function thresholdMask({ values, ...size }: MaskImage, above: number): MaskImage {
  return { ...size, values: Buffer.from(values.map(value => (value / 255 > above ? 255 : 0))) };
}

/** One channel of an image, 0 to 2. */
export function channelOf({ pixels, width, height }: RgbImage, channel: number): MaskImage {
  const values = Buffer.alloc(width * height);
  for (let at = 0; at < values.length; at += 1) values[at] = pixels[at * 3 + channel] ?? 0;
  return { width, height, values };
}

/** A mask as a grey image. */
export function maskToImage({ values, width, height }: MaskImage): RgbImage {
  const pixels = Buffer.alloc(width * height * 3);
  for (let at = 0; at < values.length; at += 1) pixels.fill(values[at] ?? 0, at * 3, at * 3 + 3);
  return { width, height, pixels };
}

/**
 * Scales to the nearest pixel. With `crop` the middle of the image is kept in proportion (`comfy/utils.py`,
 * common_upscale with nearest-exact).
 */
export function scaleNearest(image: RgbImage, { width, height }: Size, crop: boolean): RgbImage {
  if (width === image.width && height === image.height) return image;
  const ratio = image.width / image.height / (width / height);
  const left = crop && ratio > 1 ? Math.round((image.width - image.width / ratio) / 2) : 0;
  const top = crop && ratio < 1 ? Math.round((image.height - image.height * ratio) / 2) : 0;
  const across = (image.width - 2 * left) / width;
  const down = (image.height - 2 * top) / height;
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y += 1) {
    const row = (top + Math.floor((y + 0.5) * down)) * image.width + left;
    for (let x = 0; x < width; x += 1) {
      const from = (row + Math.floor((x + 0.5) * across)) * 3;
      image.pixels.copy(pixels, (y * width + x) * 3, from, from + 3);
    }
  }
  return { width, height, pixels };
}

/**
 * Grows the bright parts by so many pixels, or shrinks them by a negative number; `tapered` leaves out the diagonals
 * (`comfy_extras/nodes_mask.py`, GrowMask). Lets other work run between two pixels.
 */
export async function growMask(mask: MaskImage, expand: number, tapered: boolean): Promise<MaskImage> {
  if (expand < 0) return invertMask(await growMask(invertMask(mask), -expand, tapered));
  let { values } = mask;
  for (let pass = 0; pass < expand; pass += 1) {
    values = growOnce({ ...mask, values }, tapered);
    await new Promise(resolve => setImmediate(resolve));
  }
  return { ...mask, values };
}

function growOnce({ values, width, height }: MaskImage, tapered: boolean): Buffer {
  const grown = Buffer.from(values);
  const valueAt = (at: number): number => values[at] ?? 0;
  for (let y = 0; y < height; y += 1) {
    const above = y > 0 ? -width : 0;
    const below = y + 1 < height ? width : 0;
    for (let x = 0; x < width; x += 1) {
      const at = y * width + x;
      if (valueAt(at) === 255) continue;
      const left = x > 0 ? at - 1 : at;
      const right = x + 1 < width ? at + 1 : at;
      let most = Math.max(
        valueAt(at),
        valueAt(left),
        valueAt(right),
        valueAt(at + above),
        valueAt(at + below),
      );
      if (!tapered) {
        most = Math.max(most, valueAt(left + above), valueAt(right + above));
        most = Math.max(most, valueAt(left + below), valueAt(right + below));
      }
      grown[at] = most;
    }
  }
  return grown;
}

/**
 * Pastes `source` into `destination` at a place; without a mask all of it, else by the mask, which is scaled to the
 * source (`comfy_extras/nodes_mask.py`, composite). Where the mask is 0 the destination stays exactly as it is.
 */
export async function composite(
  destination: RgbImage,
  source: RgbImage,
  mask: MaskImage | null,
  at: { readonly x: number; readonly y: number } = { x: 0, y: 0 },
): Promise<RgbImage> {
  const { values } = mask === null ? solidMask(source, 255) : await scaleMask(mask, source);
  const pixels = Buffer.from(destination.pixels);
  const right = Math.min(source.width, destination.width - at.x);
  const bottom = Math.min(source.height, destination.height - at.y);
  for (let y = 0; y < bottom; y += 1) {
    for (let x = 0; x < right; x += 1) {
      const from = y * source.width + x;
      const share = values[from] ?? 0;
      if (share === 0) continue;
      const to = (y + at.y) * destination.width + x + at.x;
      for (let channel = 0; channel < 3; channel += 1) {
        const mixed =
          (source.pixels[from * 3 + channel] ?? 0) * share + (pixels[to * 3 + channel] ?? 0) * (255 - share);
        pixels[to * 3 + channel] = Math.floor(mixed / 255);
      }
    }
  }
  return { ...destination, pixels };
}

async function scaleMask(mask: MaskImage, { width, height }: Size): Promise<MaskImage> {
  if (mask.width === width && mask.height === height) return mask;
  const scaled = toSharp(maskToImage(mask)).resize(width, height, { fit: 'fill', kernel: 'linear' });
  return { width, height, values: await scaled.extractChannel(0).raw().toBuffer() };
}

/** The middle of an image, each side a multiple of 8 (`comfy/sd.py`, vae_encode_crop_pixels). */
export async function cropToEights(image: RgbImage): Promise<RgbImage> {
  const width = Math.floor(image.width / 8) * 8;
  const height = Math.floor(image.height / 8) * 8;
  if (width === image.width && height === image.height) return image;
  const left = Math.floor((image.width % 8) / 2);
  const top = Math.floor((image.height % 8) / 2);
  return {
    width,
    height,
    pixels: await toSharp(image).extract({ left, top, width, height }).raw().toBuffer(),
  };
}

/** What decoding gives of an encoded image: nearly the same, since a VAE loses something. */
export function throughVae(image: RgbImage): RgbImage {
  return { ...image, pixels: Buffer.from(image.pixels.map(value => value ^ 1)) };
}

/** The opposite of the alpha channel of a file; 64 x 64 pixels of zeros if it has none (`nodes.py`, LoadImage). */
export async function alphaMask(path: string): Promise<MaskImage> {
  const image = sharp(path, { limitInputPixels: false });
  if (!(await image.metadata()).hasAlpha) return solidMask({ width: 64, height: 64 }, 0);
  const { data, info } = await image
    .autoOrient()
    .extractChannel('alpha')
    .toColourspace('b-w')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return invertMask({ width: info.width, height: info.height, values: data });
}
