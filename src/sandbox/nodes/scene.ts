import sharp from 'sharp';
import { seededRandom } from '../random.ts';
import { type RgbImage, type Size, scale, toRgb } from './images.ts';
import { shrink } from './resample.ts';

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
    const drawn = await fitInto(image, { width: cell, height: room });
    const left = index * cell + Math.floor((cell - drawn.width) / 2);
    const top = band + Math.floor((room - drawn.height) / 2);
    const row = drawn.width * 3;
    for (let y = 0; y < drawn.height; y += 1) {
      drawn.pixels.copy(pixels, ((top + y) * width + left) * 3, y * row, (y + 1) * row);
    }
  }
}

/** Scales to the largest size within `room`, in proportion. */
async function fitInto(image: RgbImage, room: Size): Promise<RgbImage> {
  const factor = Math.min(room.width / image.width, room.height / image.height);
  const side = (length: number, most: number): number =>
    Math.min(most, Math.max(1, Math.round(length * factor)));
  const size = { width: side(image.width, room.width), height: side(image.height, room.height) };
  // Four pixels of each are enough up to half the size.
  return factor < 1 && factor >= 0.5 ? shrink(image, size) : scale(image, size, false);
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
