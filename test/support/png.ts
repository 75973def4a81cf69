import { crc32 } from 'node:zlib';

/** One chunk of a PNG, with its checksum (https://www.w3.org/TR/png-3/#5Chunk-layout). A text is written in Latin-1. */
export function pngChunk(type: string, content: Uint8Array | string): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  const chunk = Buffer.alloc(bytes.byteLength + 12);
  chunk.writeUInt32BE(bytes.byteLength, 0);
  chunk.write(type, 4, 'latin1');
  chunk.set(bytes, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), bytes.byteLength + 8);
  return chunk;
}
