import { deflateSync, inflateSync } from 'node:zlib';
import { noisyImage, plainImage } from './images.ts';
import { pngChunk } from './png.ts';

/** An image, and the same with a damage that is found only when it is decoded. */
export interface Damage {
  readonly whole: Buffer;
  readonly damaged: Buffer;
}

/** Damages of each kind of image whose structure stays complete. */
export const DAMAGES = {
  'a PNG with fewer lines than its header says': () => png(pixels => deflateSync(pixels.subarray(0, -361))),
  'a PNG whose pixels are not compressed': () => png(pixels => pixels),
  'a PNG with another filter than there are': () => png(pixels => deflateSync(Buffer.from(pixels).fill(9))),
  'a JPEG with more scans than any image has': jpegOfScans,
  'a WebP whose pixels are noise': () => webp(false),
  'a lossless WebP whose pixels are noise': () => webp(true),
} as const satisfies Record<string, () => Promise<Damage>>;

/** A PNG of 120×90, RGB, one byte and 360 for each line, with other data instead of its pixels. */
async function png(dataOf: (pixels: Buffer) => Buffer): Promise<Damage> {
  const whole = await plainImage(120, 90).png().toBuffer();
  const start = whole.indexOf('IDAT') - 4;
  const end = start + 8 + whole.readUInt32BE(start);
  const data = dataOf(inflateSync(whole.subarray(start + 8, end)));
  const chunks = [pngChunk('IDAT', data), pngChunk('IEND', Buffer.alloc(0))];
  return { whole, damaged: Buffer.concat([whole.subarray(0, start), ...chunks]) };
}

/** Each scan goes over a million pixels: decoding them all would take a minute. */
async function jpegOfScans(): Promise<Damage> {
  const whole = await plainImage(1_000, 1_000).jpeg({ progressive: true }).toBuffer();
  const scan = whole.subarray(whole.lastIndexOf(Buffer.of(0xff, 0xda)), -2);
  const scans = Array<Buffer>(10_000).fill(scan);
  return { whole, damaged: Buffer.concat([whole.subarray(0, -2), ...scans, whole.subarray(-2)]) };
}

async function webp(lossless: boolean): Promise<Damage> {
  const whole = await noisyImage(120, 90).webp({ lossless }).toBuffer();
  // Behind the headers of the file and of the frame.
  return { whole, damaged: Buffer.from(whole).fill(0xff, 40) };
}
