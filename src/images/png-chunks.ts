const SIGNATURE_LENGTH = 8;
const IEND = 0x49454e44;
const IDAT = 0x49444154;
const ACTL = 0x6163544c;

/** What the chunks of a PNG tell without decoding (https://www.w3.org/TR/png-3/#5Chunk-layout). */
export interface PngChunks {
  /** An acTL chunk stands before the first IDAT. */
  readonly animated: boolean;
  /** The closing IEND chunk is there, whole. */
  readonly ended: boolean;
}

/** Walks the chunks of a PNG, whose signature was seen already. */
export function readPngChunks(bytes: Uint8Array): PngChunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let animated = false;
  let pixels = false;
  // A chunk: length, type, data, CRC; four bytes each but the data.
  for (let at = SIGNATURE_LENGTH; at + 12 <= bytes.byteLength; at += 12 + view.getUint32(at)) {
    const type = view.getUint32(at + 4);
    if (type === IEND) return { animated, ended: true };
    if (type === IDAT) pixels = true;
    if (type === ACTL && !pixels) animated = true;
  }
  return { animated, ended: false };
}
