import { crc32 } from 'node:zlib';
import type { ImageKind, Size } from './formats.ts';

/** What a file says of itself without its pixels being decoded. */
export interface Structure {
  /** Nothing is missing at its end, and the checksums that it has are right. */
  readonly complete: boolean;
  /** It is certainly an animation. A WebP that is one has no size here. */
  readonly animated: boolean;
  /** Width and height in pixels as stored; null where only a decoder knows how the image is to be shown. */
  readonly size: Size | null;
}

/**
 * Reads the structure of a file whose first bytes were checked already, as fast as memory is read. It finds every file that was
 * cut short, and in a PNG every changed bit; a file that was made to mislead decoders shows only when it is decoded.
 */
export function readStructure(bytes: Uint8Array, { extension }: ImageKind): Structure {
  switch (extension) {
    case 'png':
      return readPng(bytes);
    case 'jpg':
      return { complete: hasJpegEnd(bytes), animated: false, size: null };
    case 'webp':
      return { complete: hasWholeWebp(bytes), animated: false, size: null };
    default:
      return extension satisfies never;
  }
}

const PNG_SIGNATURE_BYTES = 8;
/** Length, type and CRC of a chunk, four bytes each; its data is between type and CRC. */
const CHUNK_FRAME_BYTES = 12;
const IHDR = 0x49484452;
const IHDR_BYTES = 13;
const IEND = 0x49454e44;
const IDAT = 0x49444154;
const ACTL = 0x6163544c;
/** eXIf, tEXt, zTXt, iTXt: the chunks that may tell a decoder to rotate the image. */
const METADATA_CHUNKS: ReadonlySet<number> = new Set([0x65584966, 0x74455874, 0x7a545874, 0x69545874]);
/** Set in the type of a chunk that decoders may skip (https://www.w3.org/TR/png-3/#5Chunk-naming-conventions). */
const ANCILLARY = 0x20000000;
/** libpng's own limit for width and height (`PNG_USER_WIDTH_MAX` in pnglibconf.h). */
const MAX_PNG_SIDE = 1_000_000;

/** https://www.w3.org/TR/png-3/#5Chunk-layout */
function readPng(bytes: Uint8Array): Structure {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let animated = false;
  let pixels = false;
  let metadata = false;
  let sound = true;
  for (let at = PNG_SIGNATURE_BYTES; at + CHUNK_FRAME_BYTES <= bytes.byteLength; ) {
    const end = at + CHUNK_FRAME_BYTES + view.getUint32(at);
    if (end > bytes.byteLength) break;
    const type = view.getUint32(at + 4);
    // Decoders skip an ancillary chunk with a wrong checksum, and reject any other.
    if ((type & ANCILLARY) === 0 && crc32(bytes.subarray(at + 4, end - 4)) !== view.getUint32(end - 4)) {
      sound = false;
    }
    if (type === IEND) {
      return { complete: sound && pixels, animated, size: metadata ? null : pngSize(view) };
    }
    if (type === IDAT) pixels = true;
    if (METADATA_CHUNKS.has(type)) metadata = true;
    if (type === ACTL && !pixels) animated = true;
    at = end;
  }
  return { complete: false, animated, size: null };
}

/** Null if the first chunk is not a header, or has a size that decoders reject. */
function pngSize(view: DataView): Size | null {
  if (view.getUint32(PNG_SIGNATURE_BYTES) !== IHDR_BYTES) return null;
  if (view.getUint32(PNG_SIGNATURE_BYTES + 4) !== IHDR) return null;
  const width = view.getUint32(PNG_SIGNATURE_BYTES + 8);
  const height = view.getUint32(PNG_SIGNATURE_BYTES + 12);
  if (width === 0 || height === 0) return null;
  return width <= MAX_PNG_SIDE && height <= MAX_PNG_SIDE ? { width, height } : null;
}

const MARKER_PREFIX = 0xff;
const STUFFED = 0x00;
const TEM = 0x01;
const RST0 = 0xd0;
const SOI = 0xd8;
const EOI = 0xd9;

/**
 * Whether a JPEG has the EOI marker that ends it; anything may follow. Skips whole segments, because thumbnails in them
 * have EOI markers of their own (ITU-T T.81, B.1.1).
 */
function hasJpegEnd(bytes: Uint8Array): boolean {
  // Behind the two bytes of SOI.
  let at = 2;
  for (;;) {
    at = bytes.indexOf(MARKER_PREFIX, at);
    if (at < 0 || at + 1 >= bytes.byteLength) return false;
    const marker = bytes[at + 1] ?? STUFFED;
    if (marker === MARKER_PREFIX) at += 1;
    else if (marker === EOI) return true;
    else if (marker === STUFFED || marker === TEM || (marker >= RST0 && marker <= SOI)) at += 2;
    else at += 2 + (bytes[at + 2] ?? 0) * 256 + (bytes[at + 3] ?? 0);
  }
}

const RIFF_FRAME_BYTES = 8;

/** Whether a WebP has as many bytes as its header says; anything may follow (https://developers.google.com/speed/webp/docs/riff_container). */
function hasWholeWebp(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bytes.byteLength >= RIFF_FRAME_BYTES + view.getUint32(4, true);
}
