import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import sharp, { type Metadata } from 'sharp';
import { ImageError } from './errors.ts';
import {
  describeBytes,
  hasJpegEnd,
  type ImageKind,
  readPngChunks,
  type Size,
  sniffImage,
} from './formats.ts';

/** An image that was completely decoded once. */
export interface VerifiedImage extends ImageKind, Size {
  /** The given bytes, unless the image had to be converted. Its size is the one after EXIF rotation, as the engine sees it. */
  readonly bytes: Uint8Array;
  /** Of `bytes`, in hex. */
  readonly sha256: string;
}

/**
 * Verifies that bytes are a complete JPEG, PNG or WebP: the kind by the first bytes, the size by the header before
 * anything is decoded, the rest by decoding it. Keeps only the first frame of an animated image, upright and as PNG,
 * because ComfyUI's LoadImage would make a batch of it (`nodes.py`). `claimedType` is the sender's content type, for
 * messages only. Rejects with an ImageError.
 */
export type Verifier = (bytes: Uint8Array, claimedType: string | null) => Promise<VerifiedImage>;

type Converted = Omit<VerifiedImage, 'sha256'>;

const FORMATS = { jpg: 'jpeg', png: 'png', webp: 'webp' } as const satisfies Record<
  ImageKind['extension'],
  Metadata['format']
>;
/** Decoding the largest image takes a second or two; a file crafted to take long is given up. */
const DECODE_SECONDS = 20;
/** An image this small, a megabyte at most, is decoded into memory: averaging it first would cost a millisecond to set up. */
const SMALL_PIXELS = 256 * 1024;
/** Images that are remembered as verified. */
const REMEMBERED = 1_000;

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

/**
 * A verifier of images of at most `maxPixels`. Decodes an image only once, however often it is sent, because many
 * prompts are tried on the same image; it is recognised by its SHA-256. Images that have to be converted are not
 * remembered.
 */
export function createVerifier(maxPixels: number): Verifier {
  const verified = new LRUCache<string, ImageKind & Size>({ max: REMEMBERED });
  return async (bytes, claimedType) => {
    const sha256 = hash('sha256', bytes);
    const known = verified.get(sha256);
    if (known !== undefined) return { ...known, bytes, sha256 };
    const image = await verifyImage(bytes, maxPixels, claimedType);
    if (image.bytes !== bytes) return { ...image, sha256: hash('sha256', image.bytes) };
    const { bytes: _, ...facts } = image;
    verified.set(sha256, facts);
    return { ...image, sha256 };
  };
}

async function verifyImage(
  bytes: Uint8Array,
  maxPixels: number,
  claimedType: string | null,
): Promise<Converted> {
  const kind = sniffImage(bytes);
  if (kind === null) {
    const message = `${describeBytes(bytes, claimedType)}, not a JPEG, PNG or WebP image`;
    throw new ImageError('INPUT_NOT_AN_IMAGE', message);
  }
  const png = kind.extension === 'png' ? readPngChunks(bytes) : { animated: false, ended: true, size: null };
  // The decoder takes as long to read a header as to decode a small image, so it is used only without a size.
  const header: Pick<Metadata, 'width' | 'height' | 'pages' | 'orientation'> =
    png.size ?? (await readHeader(bytes, kind));
  const { width, height, pages = 1, orientation = 1 } = header;
  if (width * height > maxPixels) {
    const limit = `the limit is ${Number((maxPixels / 1e6).toFixed(2))} million pixels`;
    throw new ImageError('INPUT_TOO_LARGE', `${width} × ${height} pixels: ${limit}`);
  }
  // Decoders miss some truncated files, depending on the last bits, so the end marker is checked.
  if (!png.ended || (kind.extension === 'jpg' && !hasJpegEnd(bytes))) throw broken(kind);
  if (pages > 1 || png.animated) return await firstFrame(bytes, maxPixels, kind);
  await decode(bytes, width * height, maxPixels, kind);
  // EXIF orientations 5 to 8 swap width and height.
  const rotated = orientation >= 5 && orientation <= 8;
  return { ...kind, bytes, ...(rotated ? { width: height, height: width } : { width, height }) };
}

async function readHeader(bytes: Uint8Array, kind: ImageKind): Promise<Metadata> {
  try {
    const header = await sharp(bytes, { limitInputPixels: false }).metadata();
    if (header.format === FORMATS[kind.extension]) return header;
  } catch (error) {
    throw broken(kind, error);
  }
  throw broken(kind);
}

/** Decodes every line and discards the pixels, so that a truncated file fails here and not on the engine. */
async function decode(bytes: Uint8Array, pixels: number, maxPixels: number, kind: ImageKind): Promise<void> {
  const image = sharp(bytes, {
    limitInputPixels: maxPixels,
    failOn: 'error',
    sequentialRead: true,
  }).timeout({ seconds: DECODE_SECONDS });
  // Averaging reads every line; a result of a few pixels takes hardly any memory.
  if (pixels > SMALL_PIXELS) image.resize(8, 8, { fit: 'fill', fastShrinkOnLoad: false });
  try {
    await image.raw().toBuffer();
  } catch (error) {
    throw broken(kind, error);
  }
}

async function firstFrame(bytes: Uint8Array, maxPixels: number, kind: ImageKind): Promise<Converted> {
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

function broken(kind: ImageKind, cause?: unknown): ImageError {
  const name = kind.extension === 'webp' ? 'WebP' : kind.extension === 'png' ? 'PNG' : 'JPEG';
  return new ImageError('INPUT_NOT_AN_IMAGE', `a ${name} file that is broken or cut short`, { cause });
}
