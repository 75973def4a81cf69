import sharp, { type OverlayOptions } from 'sharp';
import { seededRandom } from '../random.ts';
import { type RgbImage, type Size, toRgb, toSharp } from './image.ts';

/** What an image of the sandbox shows. */
export interface Scene {
  readonly prompt: string;
  readonly images: readonly RgbImage[];
  readonly seed: bigint;
  readonly steps: number;
  readonly cfg: number;
}

const BAND_TEXT = 'SANDBOX - no model was run';

/**
 * Composes an image: a band that says no model was run, the scene's images side by side, the prompt below them, and a
 * caption. The seed sets the background colour. The same scene and size give the same bytes on the same machine.
 */
export async function composeScene(scene: Scene, { width, height }: Size): Promise<RgbImage> {
  const background = colourOf(scene.seed);
  const unit = Math.max(4, Math.round(Math.min(width, height) / 24));
  const band = Math.min(height, Math.round(unit * 2));
  const bottom = Math.round(height * (scene.images.length === 0 ? 0.9 : 0.35));
  const room = Math.max(1, height - band - bottom);
  const layers: OverlayOptions[] = [];
  const cell = Math.floor(width / Math.max(1, scene.images.length));
  for (const [index, image] of scene.images.entries()) {
    if (cell < 1) break;
    const input = await toSharp(image)
      .resize(cell, room, { fit: 'contain', background })
      .png({ compressionLevel: 1 })
      .toBuffer();
    layers.push({ input, left: index * cell, top: band });
  }
  const text = drawText(scene, { width, height, unit, band, bottom });
  layers.push({ input: Buffer.from(text), left: 0, top: 0 });
  const canvas = sharp({ create: { width, height, channels: 3, background }, limitInputPixels: false });
  return toRgb(canvas.composite(layers));
}

interface Layout extends Size {
  readonly unit: number;
  readonly band: number;
  readonly bottom: number;
}

function drawText(scene: Scene, { width, height, unit, band, bottom }: Layout): string {
  const perLine = Math.max(4, Math.floor((width - unit) / (unit * 0.62)));
  const lineHeight = Math.round(unit * 1.35);
  const room = Math.max(1, Math.floor((bottom - lineHeight * 1.5) / lineHeight));
  const lines = wrap(scene.prompt, perLine, room);
  const top = height - bottom + lineHeight;
  const caption = `${scene.steps} steps, cfg ${scene.cfg}, seed ${scene.seed}`;
  const rows = lines.map(
    (line, index) =>
      `<text x="${unit / 2}" y="${top + index * lineHeight}" font-size="${unit}">${escapeXml(line)}</text>`,
  );
  const bandSize = Math.min(unit, (width / BAND_TEXT.length) * 1.5);
  const captionSize = Math.max(3, Math.min(unit * 0.6, (width / caption.length) * 1.6));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="DejaVu Sans, sans-serif" fill="#fff">
<rect width="${width}" height="${band}" fill="#b00020"/>
<text x="${width / 2}" y="${band * 0.68}" font-size="${bandSize}" font-weight="bold" text-anchor="middle">${BAND_TEXT}</text>
${rows.join('\n')}
<text x="${unit / 2}" y="${height - unit * 0.4}" font-size="${captionSize}" fill="#ddd">${escapeXml(caption)}</text>
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

function colourOf(seed: bigint): { r: number; g: number; b: number } {
  const random = seededRandom(seed);
  const channel = (): number => 24 + Math.floor(random() * 90);
  return { r: channel(), g: channel(), b: channel() };
}

/** The pixels of an RGB image of random noise, the same for the same seed. */
export function noiseOf({ width, height }: Size, seed: bigint): Buffer {
  const random = seededRandom(seed);
  const noise = Buffer.alloc(width * height * 3);
  for (let at = 0; at < noise.length; at += 1) noise[at] = random() * 256;
  return noise;
}

/** A JPEG between noise (`done` 0) and the image (`done` 1). */
export async function previewFrame(image: RgbImage, noise: Buffer, done: number): Promise<Buffer> {
  const mixed = Buffer.alloc(image.pixels.length);
  for (let at = 0; at < mixed.length; at += 1) {
    mixed[at] = (image.pixels[at] ?? 0) * done + (noise[at] ?? 0) * (1 - done);
  }
  const pipeline = toSharp({ ...image, pixels: mixed });
  const sigma = (1 - done) * 4;
  return (sigma > 0.4 ? pipeline.blur(sigma) : pipeline).jpeg({ quality: 80 }).toBuffer();
}

/** The size of these proportions whose longer side is `side`: previews are scaled up as well as down. */
export function previewSize({ width, height }: Size, side: number): Size {
  const factor = side / Math.max(width, height);
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}
