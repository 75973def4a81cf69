import { crc32 } from 'node:zlib';

/** Length of the signature and the IHDR chunk, which must come first (PNG specification, section 5.6). */
const AFTER_HEADER = 8 + 25;

/** The PNG with a tEXt chunk after its header, as ComfyUI keeps the graph in what it saves (`nodes.py`, SaveImage). */
export function withPngText(png: Buffer, keyword: string, text: string): Buffer {
  // tEXt holds Latin-1: what is beyond stays as JSON's own escapes.
  const ascii = text.replace(/[^\x20-\x7e]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const body = Buffer.concat([
    Buffer.from('tEXt'),
    Buffer.from(keyword),
    Buffer.from([0]),
    Buffer.from(ascii, 'latin1'),
  ]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return Buffer.concat([png.subarray(0, AFTER_HEADER), chunk, png.subarray(AFTER_HEADER)]);
}
