import sharp, { type Metadata } from 'sharp';
import { ImageRefused } from './failure.ts';
import { hasJpegEnd } from './jpeg-markers.ts';
import { readPngChunks } from './png-chunks.ts';
import { describeBytes, type ImageKind, sniffImage } from './sniff.ts';

/** A picture that was really decoded once. */
export interface VerifiedImage extends ImageKind {
  /** Those that were given, unless the picture had to be changed. */
  readonly bytes: Uint8Array;
  /** Pixels, after the rotation that EXIF asks for, as the engine will see it. */
  readonly width: number;
  readonly height: number;
}

const FORMATS = { jpg: 'jpeg', png: 'png', webp: 'webp' } as const satisfies Record<
  ImageKind['extension'],
  Metadata['format']
>;
/** A decode of the largest picture takes a second or two; a file made to take long is not waited for. */
const DECODE_SECONDS = 20;
/** So few pixels, a megabyte at most, are sooner held than averaged: that takes a millisecond to set up. */
const HELD_PIXELS = 256 * 1024;

/**
 * Leaves libvips the decoders for JPEG, PNG and WebP only, in this whole process and for good: those for SVG, PDF, TIFF,
 * HEIF and what else it was built with cannot be reached any more, whatever bytes come. For entry points where nothing
 * else draws: loaders of pictures do without it, because `verifyImage` decodes nothing that another decoder claims.
 */
export function blockOtherDecoders(): void {
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({ operation: ['VipsForeignLoadJpeg', 'VipsForeignLoadPng', 'VipsForeignLoadWebp'] });
}

/**
 * Has libvips take one thread for each picture, in this whole process: several pictures are worked on at once, and to
 * share a small one out among threads takes longer than to decode it.
 */
export function decodeOnOneThread(): void {
  sharp.concurrency(1);
}

/**
 * Verifies that bytes are a whole JPEG, PNG or WebP of at most `maxPixels`: the kind by the first bytes, the size by
 * the header before anything is decoded, the rest by decoding it once. Of an animated picture the first frame is kept,
 * upright and as PNG: ComfyUI's LoadImage would make a batch of it (`nodes.py`). `claimedType` is what the sender calls
 * it, used in messages only. Throws ImageRefused.
 */
export async function verifyImage(
  bytes: Uint8Array,
  maxPixels: number,
  claimedType: string | null = null,
): Promise<VerifiedImage> {
  const kind = sniffImage(bytes);
  if (kind === null) {
    const message = `${describeBytes(bytes, claimedType)}, not a JPEG, PNG or WebP picture`;
    throw new ImageRefused('INPUT_NOT_AN_IMAGE', message);
  }
  const png = kind.extension === 'png' ? readPngChunks(bytes) : { animated: false, ended: true, size: null };
  // What the chunks tell is not asked of the decoder: that takes it as long as a small picture.
  const header: Pick<Metadata, 'width' | 'height' | 'pages' | 'orientation'> =
    png.size ?? (await readHeader(bytes, kind));
  const { width, height, pages = 1, orientation = 1 } = header;
  if (width * height > maxPixels) {
    const most = `at most ${Number((maxPixels / 1e6).toFixed(2))} million pixels are taken`;
    throw new ImageRefused('INPUT_TOO_LARGE', `${width} × ${height} pixels: ${most}`);
  }
  // Whether a decoder misses the end of a file hangs on the last bits before it, so the end is looked for.
  if (!png.ended || (kind.extension === 'jpg' && !hasJpegEnd(bytes))) throw broken(kind);
  if (pages > 1 || png.animated) return await firstFrame(bytes, maxPixels, kind);
  await decode(bytes, width * height, maxPixels, kind);
  // EXIF's values 5 to 8 lay a picture on its side.
  const turned = orientation >= 5 && orientation <= 8;
  return { ...kind, bytes, ...(turned ? { width: height, height: width } : { width, height }) };
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

/** Decodes every line and throws the pixels away: a file that is cut short fails here and not on the engine. */
async function decode(bytes: Uint8Array, pixels: number, maxPixels: number, kind: ImageKind): Promise<void> {
  const picture = sharp(bytes, {
    limitInputPixels: maxPixels,
    failOn: 'error',
    sequentialRead: true,
  }).timeout({ seconds: DECODE_SECONDS });
  // Averages, so that no line is skipped, into a handful of pixels, so that hardly any memory is taken.
  if (pixels > HELD_PIXELS) picture.resize(8, 8, { fit: 'fill', fastShrinkOnLoad: false });
  try {
    await picture.raw().toBuffer();
  } catch (error) {
    throw broken(kind, error);
  }
}

async function firstFrame(bytes: Uint8Array, maxPixels: number, kind: ImageKind): Promise<VerifiedImage> {
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

function broken(kind: ImageKind, cause?: unknown): ImageRefused {
  const name = kind.extension === 'webp' ? 'WebP' : kind.extension === 'png' ? 'PNG' : 'JPEG';
  return new ImageRefused('INPUT_NOT_AN_IMAGE', `a ${name} file that is broken or cut short`, { cause });
}
