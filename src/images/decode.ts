import sharp, { type Metadata } from 'sharp';
import { ImageError } from './errors.ts';
import type { ImageKind, Size } from './formats.ts';

const FORMATS = { jpg: 'jpeg', png: 'png', webp: 'webp' } as const satisfies Record<
  ImageKind['extension'],
  Metadata['format']
>;
/** Decoding the largest image takes a second or two; a file crafted to take long is given up. */
const DECODE_SECONDS = 20;
/** An image this small, a megabyte at most, is decoded into memory: averaging it first would cost a millisecond to set up. */
const SMALL_PIXELS = 256 * 1024;

/**
 * Disables all decoders of libvips but those for JPEG, PNG and WebP, for the whole process and for good: no bytes can
 * reach the ones for SVG, PDF, TIFF, HEIF and others it was built with. For entry points that draw nothing else: a
 * verifier does not need it, because it decodes nothing that another decoder claims.
 */
export function blockOtherDecoders(): void {
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({ operation: ['VipsForeignLoadJpeg', 'VipsForeignLoadPng', 'VipsForeignLoadWebp'] });
}

/**
 * Makes libvips use one thread per image, in the whole process: several images are processed at once, and splitting a
 * small one among threads takes longer than decoding it.
 */
export function decodeOnOneThread(): void {
  sharp.concurrency(1);
}

/** Reads the header with the decoder of its kind. Rejects with an ImageError when that is not the one of the first bytes. */
export async function readHeader(bytes: Uint8Array, kind: ImageKind): Promise<Metadata> {
  try {
    const header = await sharp(bytes, { limitInputPixels: false }).metadata();
    if (header.format === FORMATS[kind.extension]) return header;
  } catch (error) {
    throw broken(kind, error);
  }
  throw broken(kind);
}

/**
 * Decodes every line and discards the pixels, so that a broken file fails here and not on the engine. Rejects with an
 * ImageError, also for more than `maxPixels`.
 */
export async function decodePixels(
  bytes: Uint8Array,
  { width, height }: Size,
  maxPixels: number,
  kind: ImageKind,
): Promise<void> {
  const image = sharp(bytes, {
    limitInputPixels: maxPixels,
    failOn: 'error',
    sequentialRead: true,
  }).timeout({ seconds: DECODE_SECONDS });
  // Averaging reads every line; a result of a few pixels takes hardly any memory.
  if (width * height > SMALL_PIXELS) image.resize(8, 8, { fit: 'fill', fastShrinkOnLoad: false });
  try {
    await image.raw().toBuffer();
  } catch (error) {
    throw broken(kind, error);
  }
}

/** The first frame of an animation as a PNG, upright, which decodes it. Rejects with an ImageError. */
export async function firstFrame(
  bytes: Uint8Array,
  maxPixels: number,
  kind: ImageKind,
): Promise<ImageKind & Size & { readonly bytes: Uint8Array }> {
  try {
    const { data, info } = await sharp(bytes, { pages: 1, limitInputPixels: maxPixels, failOn: 'error' })
      .timeout({ seconds: DECODE_SECONDS })
      .autoOrient()
      .png()
      .toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    return { mimeType: 'image/png', extension: 'png', bytes: data, width, height };
  } catch (error) {
    throw broken(kind, error);
  }
}

/** The error for a file of this kind that is not valid. */
export function broken(kind: ImageKind, cause?: unknown): ImageError {
  const name = kind.extension === 'webp' ? 'WebP' : kind.extension === 'png' ? 'PNG' : 'JPEG';
  return new ImageError('INPUT_NOT_AN_IMAGE', `a ${name} file that is broken or cut short`, { cause });
}
