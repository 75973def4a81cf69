const SOI_LENGTH = 2;
const PREFIX = 0xff;
const STUFFED = 0x00;
const TEM = 0x01;
const RST0 = 0xd0;
const SOI = 0xd8;
const EOI = 0xd9;

/**
 * Whether a JPEG, whose SOI marker was seen already, has the EOI marker that closes it; what follows that does not
 * count. Segments are stepped over, because thumbnails in them have an EOI of their own (ITU-T T.81, B.1.1).
 */
export function hasJpegEnd(bytes: Uint8Array): boolean {
  let at = SOI_LENGTH;
  while (at + 1 < bytes.byteLength) {
    const marker = bytes[at + 1] ?? STUFFED;
    if (bytes[at] !== PREFIX || marker === PREFIX) at += 1;
    else if (marker === EOI) return true;
    else if (marker === STUFFED || marker === TEM || (marker >= RST0 && marker <= SOI)) at += 2;
    else at += 2 + (bytes[at + 2] ?? 0) * 256 + (bytes[at + 3] ?? 0);
  }
  return false;
}
