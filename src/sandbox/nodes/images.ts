import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** An image in memory: 8-bit RGB without padding, `width * height * 3` bytes. */
export interface RgbImage extends Size {
  readonly pixels: Buffer;
}

/** The image as input of sharp. */
export function toSharp({ width, height, pixels }: RgbImage): Sharp {
  return sharp(pixels, { raw: { width, height, channels: 3 }, limitInputPixels: false });
}

/** Executes a pipeline, without its alpha channel. */
export async function toRgb(pipeline: Sharp): Promise<RgbImage> {
  const { data, info } = await pipeline
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: data };
}

/** Scales. With `crop` the middle of the image is kept in proportion; without it the image is stretched. */
export async function scale(image: RgbImage, { width, height }: Size, crop: boolean): Promise<RgbImage> {
  if (width === image.width && height === image.height) return image;
  // Enlarging by a finer kernel takes twice as long, longer than anything else that a job draws.
  const kernel = width > image.width && height > image.height ? 'linear' : 'lanczos3';
  return toRgb(toSharp(image).resize(width, height, { fit: crop ? 'cover' : 'fill', kernel }));
}

/** The size that ImageScale scales to, where 0 means "in proportion" (`nodes.py`). */
export function scaledSize(image: Size, width: number, height: number): Size {
  if (width === 0 && height === 0) return { width: image.width, height: image.height };
  if (width === 0) return { width: Math.max(1, Math.round((image.width * height) / image.height)), height };
  if (height === 0) return { width, height: Math.max(1, Math.round((image.height * width) / image.width)) };
  return { width, height };
}

/** The size of about so many megapixels (of 1024 * 1024), in proportion, each side a multiple of `multiple`. */
export function megapixelSize(image: Size, megapixels: number, multiple: number): Size {
  const factor = Math.sqrt((megapixels * 1024 * 1024) / (image.width * image.height));
  const side = (length: number): number =>
    Math.max(multiple, Math.round((length * factor) / multiple) * multiple);
  return { width: side(image.width), height: side(image.height) };
}

/** The widths of FluxKontextImageScale's sizes (`comfy_extras/nodes_flux.py`); read backwards, their heights. */
const KONTEXT_SIDES = [
  672, 688, 720, 752, 800, 832, 880, 944, 1024, 1104, 1184, 1248, 1328, 1392, 1456, 1504, 1568,
];

/** The size of FluxKontextImageScale whose proportions are nearest. */
export function kontextSize(image: Size): Size {
  const ratio = image.width / image.height;
  const distance = ({ width, height }: Size): number => Math.abs(width / height - ratio);
  return KONTEXT_SIDES.map((width, index) => ({
    width,
    height: KONTEXT_SIDES.at(-1 - index) ?? width,
  })).reduce((best, size) => (distance(size) < distance(best) ? size : best));
}

/** The length of a PNG's signature and its IHDR chunk, which comes first (PNG specification, section 5.6). */
const AFTER_HEADER = 8 + 25;

/** Adds a tEXt chunk after the PNG's header, as ComfyUI stores the graph in the images it saves (`nodes.py`, SaveImage). */
export function withPngText(png: Buffer, keyword: string, text: string): Buffer {
  // tEXt holds Latin-1; other characters are written as JSON escapes.
  const ascii = text.replace(/[^\x20-\x7e]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const body = Buffer.from(`tEXt${keyword}\0${ascii}`, 'latin1');
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return Buffer.concat([png.subarray(0, AFTER_HEADER), chunk, png.subarray(AFTER_HEADER)]);
}
