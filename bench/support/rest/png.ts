import { deflateSync } from 'node:zlib';
import { pngChunk } from '../../../test/support/png.ts';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** 8 bits, RGB (https://www.w3.org/TR/png-3/#11IHDR). */
const RGB = [8, 2, 0, 0, 0];

/** A PNG of `side` × `side` with these chunks between its header and its end. */
export function pngOf(side: number, chunks: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set(RGB, 8);
  return Buffer.concat([SIGNATURE, pngChunk('IHDR', header), ...chunks, pngChunk('IEND', Buffer.alloc(0))]);
}

/** An image of one colour, a different one for each number below 2^24. */
export function plainPng(side: number, colour: number): Buffer {
  const line = Buffer.alloc(1 + side * 3);
  for (let x = 0; x < side; x += 1) line.writeUIntBE(colour, 1 + x * 3, 3);
  const lines = Buffer.concat(Array.from({ length: side }, () => line));
  return pngOf(side, [pngChunk('IDAT', deflateSync(lines))]);
}
