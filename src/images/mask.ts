import { hash } from 'node:crypto';
import sharp, { type Sharp } from 'sharp';
import type { Size } from './formats.ts';
import type { VerifiedImage } from './verify.ts';

/** A mask, or what is wrong with the image; the message continues the name of its field. */
export type MaskResult = { ok: true; image: VerifiedImage } | { ok: false; message: string };

/** Reading a mask takes no longer than verifying it; a file crafted to take long is given up. */
const DECODE_SECONDS = 20;

/**
 * Makes a mask of an image: a grey PNG of `size` that is white (255) where the result changes, black (0) where it does not,
 * and between at soft edges. An image with transparent pixels changes where it is transparent, any other where it is white.
 * An image of another size but the same shape is scaled to the nearest pixel. One that changes nothing is rejected.
 */
export async function toMask(image: VerifiedImage, size: Size): Promise<MaskResult> {
  const { width, height } = image;
  if (!hasShapeOf(image, size)) {
    return {
      ok: false,
      message: `is ${width} × ${height} pixels and image 1 is ${size.width} × ${size.height}: takes a mask of the size or the shape of image 1`,
    };
  }
  const grey = (await transparency(image)) ?? (await toGrey(decode(image).removeAlpha()));
  if (grey.equals(Buffer.alloc(grey.length))) {
    return {
      ok: false,
      message: 'changes nothing: takes an image that is white or transparent where to edit',
    };
  }
  const mask = ofGrey(grey, image);
  const scaled =
    width === size.width && height === size.height
      ? mask
      : mask.resize(size.width, size.height, { fit: 'fill', kernel: 'nearest' });
  const bytes = await scaled.toColourspace('b-w').png().toBuffer();
  const { width: w, height: h } = size;
  return {
    ok: true,
    image: {
      mimeType: 'image/png',
      extension: 'png',
      bytes,
      sha256: hash('sha256', bytes),
      width: w,
      height: h,
    },
  };
}

/** Whether both have the same proportions, up to the rounding of a side to whole pixels. */
function hasShapeOf(image: Size, size: Size): boolean {
  const difference = Math.abs(image.width * size.height - image.height * size.width);
  return difference <= Math.max(size.width, size.height);
}

/** 255 where the image is transparent, 0 where it is opaque; null when it is opaque everywhere. */
async function transparency(image: VerifiedImage): Promise<Buffer | null> {
  const { hasAlpha } = await sharp(image.bytes, { limitInputPixels: false }).metadata();
  if (!hasAlpha) return null;
  // Browsers save a canvas with an alpha channel even when it is opaque.
  const opacity = await toGrey(decode(image).extractChannel('alpha'));
  return opacity.equals(Buffer.alloc(opacity.length, 255)) ? null : toGrey(ofGrey(opacity, image).negate());
}

/** A profile of the colours would change values, and a mask has none. */
function decode({ bytes }: VerifiedImage): Sharp {
  return sharp(bytes, { limitInputPixels: false, ignoreIcc: true, failOn: 'error' })
    .timeout({ seconds: DECODE_SECONDS })
    .autoOrient();
}

function ofGrey(pixels: Buffer, { width, height }: Size): Sharp {
  return sharp(pixels, { raw: { width, height, channels: 1 }, limitInputPixels: false });
}

/** One byte for each pixel. */
async function toGrey(image: Sharp): Promise<Buffer> {
  return image.toColourspace('b-w').raw({ depth: 'uchar' }).toBuffer();
}
