import sharp, { type OverlayOptions, type Sharp } from 'sharp';
import { type Random, seededRandom } from '../random.ts';

/** A picture in memory: 8-bit RGB without padding, `width * height * 3` bytes. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly pixels: Buffer;
}

/** What stands on a sandbox picture. */
export interface Scene {
  readonly prompt: string;
  readonly pictures: readonly Picture[];
  readonly seed: bigint;
  readonly steps: number;
  readonly cfg: number;
}

const BAND_TEXT = 'SANDBOX - no model was run';

/** Pictures are never larger than this on a side, whatever the graph asks for. */
export const MAX_SIDE = 16_384;

/** The picture as sharp takes it. */
export function toSharp({ width, height, pixels }: Picture): Sharp {
  return sharp(pixels, { raw: { width, height, channels: 3 }, limitInputPixels: false });
}

/** Runs a pipeline to plain RGB. */
export async function toPicture(pipeline: Sharp): Promise<Picture> {
  const { data, info } = await pipeline
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: data };
}

/**
 * Composes the sandbox's picture: a clear band that says no model was run, the scene's pictures side by side, the
 * prompt below them and a caption. The same scene and size give the same bytes on the same machine; the seed tints.
 */
export async function composeScene(scene: Scene, width: number, height: number): Promise<Picture> {
  const tint = tintOf(scene.seed);
  const unit = Math.max(4, Math.round(Math.min(width, height) / 24));
  const band = Math.min(height, Math.round(unit * 2));
  const bottom = Math.round(height * (scene.pictures.length === 0 ? 0.9 : 0.35));
  const room = Math.max(1, height - band - bottom);
  const layers: OverlayOptions[] = [];
  const cell = Math.floor(width / Math.max(1, scene.pictures.length));
  for (const [index, picture] of scene.pictures.entries()) {
    if (cell < 1 || room < 1) break;
    const input = await toSharp(picture)
      .resize(cell, room, { fit: 'contain', background: tint })
      .png({ compressionLevel: 1 })
      .toBuffer();
    layers.push({ input, left: index * cell, top: band });
  }
  const text = drawText(scene, { width, height, unit, band, bottom });
  layers.push({ input: Buffer.from(text), left: 0, top: 0 });
  const canvas = sharp({ create: { width, height, channels: 3, background: tint }, limitInputPixels: false });
  return toPicture(canvas.composite(layers));
}

interface Layout {
  readonly width: number;
  readonly height: number;
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

/** Breaks a text into at most `limit` lines of at most `width` characters; what is left over becomes an ellipsis. */
export function wrap(text: string, width: number, limit: number): string[] {
  const words = text
    .slice(0, 4_000)
    .split(/\s+/u)
    .filter(word => word !== '');
  const lines: string[] = [];
  let line = '';
  for (const word of words) {
    for (const part of chunks(word, width)) {
      const longer = line === '' ? part : `${line} ${part}`;
      if (Array.from(longer).length <= width) {
        line = longer;
        continue;
      }
      lines.push(line);
      line = part;
      if (lines.length > limit) break;
    }
  }
  if (line !== '') lines.push(line);
  if (lines.length <= limit) return lines;
  return [
    ...lines.slice(0, limit - 1),
    `${Array.from(lines[limit - 1] ?? '')
      .slice(0, width - 1)
      .join('')}…`,
  ];
}

function chunks(word: string, width: number): string[] {
  const characters = Array.from(word);
  const parts: string[] = [];
  for (let at = 0; at < characters.length; at += width) parts.push(characters.slice(at, at + width).join(''));
  return parts;
}

/** Text that may stand in XML: markup escaped, characters that XML 1.0 forbids and lone surrogates replaced. */
export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}

function tintOf(seed: bigint): { r: number; g: number; b: number } {
  const random = seededRandom(seed);
  const channel = (): number => 24 + Math.floor(random() * 90);
  return { r: channel(), g: channel(), b: channel() };
}

/** Noise of the size of a picture, the same each time for the same seed. */
export function noiseOf(width: number, height: number, seed: bigint): Buffer {
  const random: Random = seededRandom(seed);
  const noise = Buffer.alloc(width * height * 3);
  for (let at = 0; at < noise.length; at += 1) noise[at] = random() * 256;
  return noise;
}

/** A JPEG on the way from noise (`done` 0) to the picture (`done` 1). */
export async function previewFrame(picture: Picture, noise: Buffer, done: number): Promise<Buffer> {
  const share = Math.min(1, Math.max(0, done));
  const mixed = Buffer.alloc(picture.pixels.length);
  for (let at = 0; at < mixed.length; at += 1) {
    mixed[at] = (picture.pixels[at] ?? 0) * share + (noise[at] ?? 0) * (1 - share);
  }
  const pipeline = toSharp({ ...picture, pixels: mixed });
  const sigma = (1 - share) * 4;
  return (sigma > 0.4 ? pipeline.blur(sigma) : pipeline).jpeg({ quality: 80 }).toBuffer();
}

/** The largest size of this shape whose longer side is `side`: previews are scaled up as well as down. */
export function previewSize(width: number, height: number, side: number): { width: number; height: number } {
  const scale = side / Math.max(width, height);
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}
