import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { seededRandom } from '../random.ts';

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

/** What an image of the sandbox shows. */
export interface Scene {
  readonly prompt: string;
  readonly images: readonly RgbImage[];
  readonly seed: bigint;
  readonly steps: number;
  readonly cfg: number;
  /** Whether only a part of the image will be seen, whatever part that is. */
  readonly masked: boolean;
}

const BAND_TEXT = 'SANDBOX - no model was run';

/**
 * Composes an image: a band that says no model was run, the scene's images side by side, the prompt below them, and a
 * caption. The seed sets the background colour. The same scene and size give the same bytes on the same machine.
 */
export async function composeScene(scene: Scene, { width, height }: Size): Promise<RgbImage> {
  const background = colourOf(scene.seed);
  if (scene.masked) return composePattern({ width, height }, background);
  const layout = layOut({ width, height }, scene.images.length > 0);
  const text = await toRgb(sharp(Buffer.from(drawText(scene, layout, background))));
  const row = width * 3;
  const pixels = Buffer.alloc(height * row);
  text.pixels.copy(pixels, 0, 0, layout.band * row);
  text.pixels.copy(pixels, (height - layout.bottom) * row, layout.band * row);
  await drawImages(scene.images, layout, background, pixels);
  return { width, height, pixels };
}

/** The parts of an image from its top down: the band, the images, and at the bottom the prompt and the caption. */
interface Layout extends Size {
  /** Pixels of the text, which the sizes of all parts follow. */
  readonly unit: number;
  /** Rows of the band. */
  readonly band: number;
  /** Rows of the images. */
  readonly room: number;
  /** Rows of the prompt and the caption. */
  readonly bottom: number;
}

function layOut({ width, height }: Size, hasImages: boolean): Layout {
  const unit = Math.max(4, Math.round(Math.min(width, height) / 24));
  const band = Math.min(height, Math.round(unit * 2));
  const bottom = Math.min(height - band, Math.round(height * (hasImages ? 0.35 : 0.9)));
  return { width, height, unit, band, room: height - band - bottom, bottom };
}

/** Draws the images side by side between the band and the prompt, each in its proportions. */
async function drawImages(
  images: readonly RgbImage[],
  { width, band, room }: Layout,
  background: Colour,
  pixels: Buffer,
): Promise<void> {
  const cell = Math.floor(width / Math.max(1, images.length));
  if (cell < 1 || room < 1) return;
  pixels.fill(
    Buffer.from([background.r, background.g, background.b]),
    band * width * 3,
    (band + room) * width * 3,
  );
  for (const [index, image] of images.entries()) {
    const drawn = await toRgb(
      toSharp(image).resize(cell, room, { fit: 'contain', background, kernel: 'linear' }),
    );
    for (let y = 0; y < room; y += 1) {
      drawn.pixels.copy(pixels, ((band + y) * width + index * cell) * 3, y * cell * 3, (y + 1) * cell * 3);
    }
  }
}

/** The band's text all over, so that every part of it says that no model was run. */
async function composePattern({ width, height }: Size, { r, g, b }: Colour): Promise<RgbImage> {
  const unit = Math.max(4, Math.round(Math.min(width, height) / 48));
  const period = Math.round(BAND_TEXT.length * unit * 0.66);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="DejaVu Sans, sans-serif">
<pattern id="text" width="${period}" height="${unit * 3}" patternUnits="userSpaceOnUse">
<rect width="${period}" height="${unit * 3}" fill="rgb(${r},${g},${b})"/>
<rect width="${period}" height="${unit * 1.5}" fill="#b00020"/>
<text x="${unit / 2}" y="${unit * 1.1}" font-size="${unit}" font-weight="bold" fill="#fff">${BAND_TEXT}</text>
</pattern>
<rect width="${width}" height="${height}" fill="url(#text)"/>
</svg>`;
  return toRgb(sharp(Buffer.from(svg)));
}

/** The band and, right below it, the prompt with the caption: what is between them in the image is left out. */
function drawText(scene: Scene, { width, unit, band, bottom }: Layout, { r, g, b }: Colour): string {
  const perLine = Math.max(4, Math.floor((width - unit) / (unit * 0.62)));
  const lineHeight = Math.round(unit * 1.35);
  const room = Math.max(1, Math.floor((bottom - lineHeight * 1.5) / lineHeight));
  const lines = wrap(scene.prompt, perLine, room);
  const height = band + bottom;
  const caption = `${scene.steps} steps, cfg ${scene.cfg}, seed ${scene.seed}`;
  const rows = lines.map(
    (line, index) =>
      `<text x="${unit / 2}" y="${band + (index + 1) * lineHeight}" font-size="${unit}">${escapeXml(line)}</text>`,
  );
  const bandSize = Math.min(unit, (width / BAND_TEXT.length) * 1.5);
  const captionSize = Math.max(3, Math.min(unit * 0.6, (width / caption.length) * 1.6));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="DejaVu Sans, sans-serif" fill="#fff">
<rect width="${width}" height="${height}" fill="rgb(${r},${g},${b})"/>
${rows.join('\n')}
<text x="${unit / 2}" y="${height - unit * 0.4}" font-size="${captionSize}" fill="#ddd">${escapeXml(caption)}</text>
<rect width="${width}" height="${band}" fill="#b00020"/>
<text x="${width / 2}" y="${band * 0.68}" font-size="${bandSize}" font-weight="bold" text-anchor="middle">${BAND_TEXT}</text>
</svg>`;
}

/** Breaks a text into at most `limit` lines of at most `width` characters; an ellipsis replaces the rest. */
function wrap(text: string, width: number, limit: number): string[] {
  const parts = text
    .slice(0, 4_000)
    .split(/\s+/u)
    .flatMap(word => chunks(word, width));
  const lines: string[] = [];
  let line = '';
  for (const part of parts) {
    const longer = line === '' ? part : `${line} ${part}`;
    if (Array.from(longer).length <= width) {
      line = longer;
      continue;
    }
    lines.push(line);
    line = part;
  }
  if (line !== '') lines.push(line);
  if (lines.length <= limit) return lines;
  const last = Array.from(lines[limit - 1] ?? '').slice(0, width - 1);
  return [...lines.slice(0, limit - 1), `${last.join('')}…`];
}

function chunks(word: string, width: number): string[] {
  const characters = Array.from(word);
  const parts: string[] = [];
  for (let at = 0; at < characters.length; at += width) parts.push(characters.slice(at, at + width).join(''));
  return parts;
}

/** Escapes markup; replaces lone surrogates and characters that XML 1.0 forbids. */
function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}

interface Colour {
  readonly r: number;
  readonly g: number;
  readonly b: number;
}

function colourOf(seed: bigint): Colour {
  const random = seededRandom(seed);
  const channel = (): number => 24 + Math.floor(random() * 90);
  return { r: channel(), g: channel(), b: channel() };
}

/** Pixels from one point of the noise that has a random colour to the next. */
const CLOUD = 4;

/** Clouds of random noise, the same for the same seed. */
export function noiseOf({ width, height }: Size, seed: bigint): RgbImage {
  const random = seededRandom(seed);
  const row = width * 3;
  const pixels = Buffer.alloc(height * row);
  const points = new Uint8Array((Math.ceil(width / CLOUD) + 1) * 3);
  /** The colours of a row of points, with those between them. */
  const nextRow = (): Uint8Array => {
    for (let at = 0; at < points.length; at += 1) points[at] = 64 + random() * 128;
    const colours = new Uint8Array(points.length * CLOUD);
    for (let at = 0, point = 0; at < row; point += 3) {
      for (let step = 0; step < CLOUD; step += 1, at += 3) {
        for (let channel = point; channel < point + 3; channel += 1) {
          colours[at + channel - point] = between(points[channel] ?? 0, points[channel + 3] ?? 0, step);
        }
      }
    }
    return colours;
  };
  let [above, below] = [nextRow(), nextRow()];
  for (let y = 0, at = 0; y < height; y += 1) {
    const step = y % CLOUD;
    if (step === 0 && y > 0) [above, below] = [below, nextRow()];
    for (let x = 0; x < row; x += 1, at += 1) pixels[at] = between(above[x] ?? 0, below[x] ?? 0, step);
  }
  return { width, height, pixels };
}

/** Mixes bytes in whole quarters, which CLOUD makes of the way between two points. */
const between = (from: number, to: number, step: number): number => (from * (CLOUD - step) + to * step) >> 2;

/** The image with `side` pixels on its longer side, for previews: each pixel is the mean of four. */
export async function previewOf(image: RgbImage, side: number): Promise<RgbImage> {
  const { width, height } = previewSize(image, side);
  if (width >= image.width) return scale(image, { width, height }, false);
  const pixels = Buffer.alloc(width * height * 3);
  // The columns of the two on the left and right, as offsets in a row.
  const columns = Array.from({ length: width * 2 }, (_, at) => sampled(at, width * 2, image.width) * 3);
  const from = image.pixels;
  for (let y = 0, at = 0; y < height; y += 1) {
    const upper = sampled(y * 2, height * 2, image.height) * image.width * 3;
    const lower = sampled(y * 2 + 1, height * 2, image.height) * image.width * 3;
    for (let x = 0; x < width; x += 1) {
      const [left = 0, right = 0] = [columns[x * 2], columns[x * 2 + 1]];
      for (let channel = 0; channel < 3; channel += 1, at += 1) {
        const sum =
          (from[upper + left + channel] ?? 0) +
          (from[upper + right + channel] ?? 0) +
          (from[lower + left + channel] ?? 0) +
          (from[lower + right + channel] ?? 0);
        pixels[at] = sum >> 2;
      }
    }
  }
  return { width, height, pixels };
}

/** Of `length` pixels, the one in the middle of the part `index` of `count`. */
const sampled = (index: number, count: number, length: number): number =>
  Math.floor(((index + 0.5) * length) / count);

/** A JPEG between noise of the same size (`done` 0) and the image (`done` 1). */
export async function previewFrame(image: RgbImage, noise: RgbImage, done: number): Promise<Buffer> {
  if (done === 1) return toSharp(image).jpeg({ quality: 80 }).toBuffer();
  // In 256ths: mixing whole numbers takes a third of the time.
  const share = Math.round(done * 256);
  const rest = 256 - share;
  const [from, to, mixed] = [noise.pixels, image.pixels, Buffer.alloc(image.pixels.length)];
  for (let at = 0; at < mixed.length; at += 1) {
    mixed[at] = ((to[at] ?? 0) * share + (from[at] ?? 0) * rest) >> 8;
  }
  return toSharp({ ...image, pixels: mixed })
    .jpeg({ quality: 80 })
    .toBuffer();
}

/** The size of these proportions whose longer side is `side`: previews are scaled up as well as down. */
function previewSize({ width, height }: Size, side: number): Size {
  const factor = side / Math.max(width, height);
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}
