import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { ImageRefused } from './failure.ts';
import { describeBytes, type ImageKind, sniffImage } from './sniff.ts';

/** A picture that was really decoded once. */
export interface LoadedImage extends ImageKind {
  readonly bytes: Uint8Array;
  /** Pixels, after the rotation that EXIF asks for, as the engine will see it. */
  readonly width: number;
  readonly height: number;
  /** Of `bytes`, in hex. */
  readonly sha256: string;
}

/**
 * Verifies that bytes are a whole JPEG, PNG or WebP of at most `maxPixels`: the kind by the first bytes, the size by
 * the header before anything is decoded, the rest by decoding it once. Of an animated picture the first frame is kept,
 * as PNG: ComfyUI's LoadImage would make a batch of it (`nodes.py`). Throws ImageRefused.
 */
export async function verifyImage(bytes: Uint8Array, maxPixels: number): Promise<LoadedImage> {
  const kind = sniffImage(bytes);
  if (kind === null) {
    const message = `${describeBytes(bytes)}, not a JPEG, PNG or WebP picture`;
    throw new ImageRefused('INPUT_NOT_AN_IMAGE', message);
  }
  const header = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch(() => {
      throw new ImageRefused('INPUT_NOT_AN_IMAGE', `a broken ${kind.extension.toUpperCase()} file`);
    });
  const { width, height, pages = 1 } = header;
  if (width * height > maxPixels) {
    const most = `at most ${Math.floor(maxPixels / 1e6)} million pixels are taken`;
    throw new ImageRefused('INPUT_TOO_LARGE', `${width} × ${height} pixels: ${most}`);
  }
  await decode(bytes, maxPixels, kind);
  const animated = pages > 1 || isAnimatedPng(bytes, kind);
  const kept = animated ? new Uint8Array(await sharp(bytes, { pages: 1 }).png().toBuffer()) : bytes;
  const turned = !animated && (header.orientation ?? 1) >= 5;
  return {
    ...(animated ? { mimeType: 'image/png', extension: 'png' } : kind),
    bytes: kept,
    width: turned ? height : width,
    height: turned ? width : height,
    sha256: createHash('sha256').update(kept).digest('hex'),
  };
}

/** Decodes line by line and throws the pixels away: a file that is cut short fails here and not on the engine. */
async function decode(bytes: Uint8Array, maxPixels: number, kind: ImageKind): Promise<void> {
  try {
    await sharp(bytes, { limitInputPixels: maxPixels, failOn: 'truncated', sequentialRead: true })
      .resize(8, 8, { fit: 'fill', fastShrinkOnLoad: false, kernel: 'nearest' })
      .raw()
      .toBuffer();
  } catch {
    throw new ImageRefused(
      'INPUT_NOT_AN_IMAGE',
      `a ${kind.extension.toUpperCase()} file that is broken or cut short`,
    );
  }
}

/** An acTL chunk before the first IDAT makes a PNG an animation (https://www.w3.org/TR/png-3/#acTL-chunk). */
function isAnimatedPng(bytes: Uint8Array, kind: ImageKind): boolean {
  if (kind.extension !== 'png') return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 8 <= bytes.byteLength; at += 12 + view.getUint32(at)) {
    const type = view.getUint32(at + 4);
    if (type === 0x6163544c) return true;
    if (type === 0x49444154) return false;
  }
  return false;
}
