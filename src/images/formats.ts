export type ImageMimeType = 'image/png' | 'image/jpeg' | 'image/webp';

/** In pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface ImageKind {
  readonly mimeType: ImageMimeType;
  readonly extension: 'jpg' | 'png' | 'webp';
}

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const JPEG = [0xff, 0xd8, 0xff];

/** First bytes of files that are often sent by mistake, for messages. */
const OTHERS: readonly (readonly [head: RegExp, type: string])[] = [
  [/^GIF8/, 'image/gif'],
  [/^BM.{4}\0\0\0\0/s, 'image/bmp'],
  [/^(II\*\0|MM\0\*)/, 'image/tiff'],
  [/^.{4}ftypavi[fs]/s, 'image/avif'],
  [/^.{4}ftyp(hei|hev|mif1|msf1)/s, 'image/heic'],
  [/^.{4}ftyp/s, 'video/mp4'],
  [/^%PDF-/, 'application/pdf'],
  // A comment must not match beyond its end: trying every way to split text into comments would take forever.
  [/^\s*(<!--((?!-->).)*-->\s*)*<(!doctype html|html|head|body)/is, 'text/html'],
  [/<svg[\s>/]/i, 'image/svg+xml'],
];

/** The kind of an image by its first bytes; null for anything but JPEG, PNG and WebP. */
export function sniffImage(bytes: Uint8Array): ImageKind | null {
  if (startsWith(bytes, PNG)) return { mimeType: 'image/png', extension: 'png' };
  if (startsWith(bytes, JPEG)) return { mimeType: 'image/jpeg', extension: 'jpg' };
  if (latin1(bytes, 0, 4) === 'RIFF' && latin1(bytes, 8, 12) === 'WEBP') {
    return { mimeType: 'image/webp', extension: 'webp' };
  }
  return null;
}

/**
 * What bytes of another kind seem to be, as the beginning of a message: judged by their first bytes, otherwise the type
 * that the sender claims, unless that is obviously wrong.
 */
export function describeBytes(bytes: Uint8Array, claimedType: string | null): string {
  if (bytes.byteLength === 0) return 'an empty file';
  const head = latin1(bytes, 0, 512).replace(/^\xef\xbb\xbf/, '');
  const known = OTHERS.find(([pattern]) => pattern.test(head))?.[1];
  if (known !== undefined) return known;
  const wrong = claimedType === null || /^image\/(png|p?jpe?g|webp)$/.test(claimedType);
  return wrong ? 'something else' : claimedType;
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, index) => bytes[index] === byte);
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}

const IHDR = 0x49484452;
const IEND = 0x49454e44;
const IDAT = 0x49444154;
const ACTL = 0x6163544c;
/** eXIf, tEXt, zTXt, iTXt: the chunks that may tell a decoder to rotate the image. */
const METADATA_CHUNKS: ReadonlySet<number> = new Set([0x65584966, 0x74455874, 0x7a545874, 0x69545874]);
/** libpng's own limit for width and height (`PNG_USER_WIDTH_MAX` in pnglibconf.h). */
const MAX_PNG_SIDE = 1_000_000;

/** What the chunks of a PNG say without decoding it (https://www.w3.org/TR/png-3/#5Chunk-layout). */
export interface PngChunks {
  /** There is an acTL chunk before the first IDAT. */
  readonly animated: boolean;
  /** The final IEND chunk is complete. */
  readonly ended: boolean;
  /** From IHDR; null if that is implausible, or if a chunk might rotate the image. */
  readonly size: Size | null;
}

/** Reads the chunks of a PNG whose signature was checked already. */
export function readPngChunks(bytes: Uint8Array): PngChunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let animated = false;
  let pixels = false;
  let metadata = false;
  // A chunk: length, type, data, CRC; four bytes each except the data.
  for (let at = PNG.length; at + 12 <= bytes.byteLength; at += 12 + view.getUint32(at)) {
    const type = view.getUint32(at + 4);
    if (type === IEND) return { animated, ended: true, size: metadata ? null : pngSize(view) };
    if (type === IDAT) pixels = true;
    if (METADATA_CHUNKS.has(type)) metadata = true;
    if (type === ACTL && !pixels) animated = true;
  }
  return { animated, ended: false, size: null };
}

/** Null if the first chunk is not a header, or has a size that decoders reject. */
function pngSize(view: DataView): Size | null {
  if (view.getUint32(PNG.length + 4) !== IHDR) return null;
  const width = view.getUint32(PNG.length + 8);
  const height = view.getUint32(PNG.length + 12);
  return width <= MAX_PNG_SIDE && height <= MAX_PNG_SIDE ? { width, height } : null;
}

const MARKER_PREFIX = 0xff;
const STUFFED = 0x00;
const TEM = 0x01;
const RST0 = 0xd0;
const SOI = 0xd8;
const EOI = 0xd9;

/**
 * Whether a JPEG, whose SOI marker was checked already, has the EOI marker that ends it; anything may follow. Skips
 * whole segments, because thumbnails in them have EOI markers of their own (ITU-T T.81, B.1.1).
 */
export function hasJpegEnd(bytes: Uint8Array): boolean {
  // Behind the two bytes of SOI.
  let at = 2;
  while (at + 1 < bytes.byteLength) {
    const marker = bytes[at + 1] ?? STUFFED;
    if (bytes[at] !== MARKER_PREFIX || marker === MARKER_PREFIX) at += 1;
    else if (marker === EOI) return true;
    else if (marker === STUFFED || marker === TEM || (marker >= RST0 && marker <= SOI)) at += 2;
    else at += 2 + (bytes[at + 2] ?? 0) * 256 + (bytes[at + 3] ?? 0);
  }
  return false;
}
