import type { Size } from '../jobs/job.ts';

const SIGNATURE_LENGTH = 8;
const IHDR = 0x49484452;
/** libpng's own limit of a side (`PNG_USER_WIDTH_MAX` of pnglibconf.h). */
const WIDEST = 1_000_000;
const IEND = 0x49454e44;
const IDAT = 0x49444154;
const ACTL = 0x6163544c;
/** eXIf, tEXt, zTXt, iTXt: where a decoder may find how a picture is turned. */
const WORDS: ReadonlySet<number> = new Set([0x65584966, 0x74455874, 0x7a545874, 0x69545874]);

/** What the chunks of a PNG tell without decoding (https://www.w3.org/TR/png-3/#5Chunk-layout). */
export interface PngChunks {
  /** An acTL chunk stands before the first IDAT. */
  readonly animated: boolean;
  /** The closing IEND chunk is there, whole. */
  readonly ended: boolean;
  /** Pixels, as IHDR says, when no chunk could say that the picture is turned; else null. */
  readonly size: Size | null;
}

/** Walks the chunks of a PNG, whose signature was seen already. */
export function readPngChunks(bytes: Uint8Array): PngChunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let animated = false;
  let pixels = false;
  let words = false;
  // A chunk: length, type, data, CRC; four bytes each but the data.
  for (let at = SIGNATURE_LENGTH; at + 12 <= bytes.byteLength; at += 12 + view.getUint32(at)) {
    const type = view.getUint32(at + 4);
    if (type === IEND) return { animated, ended: true, size: words ? null : sizeOf(view) };
    if (type === IDAT) pixels = true;
    if (WORDS.has(type)) words = true;
    if (type === ACTL && !pixels) animated = true;
  }
  return { animated, ended: false, size: null };
}

/** Null when the first chunk is no header, or says what a decoder does not believe. */
function sizeOf(view: DataView): Size | null {
  if (view.getUint32(SIGNATURE_LENGTH + 4) !== IHDR) return null;
  const width = view.getUint32(SIGNATURE_LENGTH + 8);
  const height = view.getUint32(SIGNATURE_LENGTH + 12);
  return width <= WIDEST && height <= WIDEST ? { width, height } : null;
}
