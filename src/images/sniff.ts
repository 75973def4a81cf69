import type { ImageMimeType } from '../jobs/job.ts';

export interface ImageKind {
  readonly mimeType: ImageMimeType;
  readonly extension: 'jpg' | 'png' | 'webp';
}

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const JPEG = [0xff, 0xd8, 0xff];

/** The kind of a picture by its first bytes; null for anything but JPEG, PNG and WebP. */
export function sniffImage(bytes: Uint8Array): ImageKind | null {
  if (startsWith(bytes, PNG)) return { mimeType: 'image/png', extension: 'png' };
  if (startsWith(bytes, JPEG)) return { mimeType: 'image/jpeg', extension: 'jpg' };
  if (ascii(bytes, 0, 4) === 'RIFF' && ascii(bytes, 8, 12) === 'WEBP') {
    return { mimeType: 'image/webp', extension: 'webp' };
  }
  return null;
}

/** What bytes seem to be, for an error message. */
export function describeBytes(bytes: Uint8Array): string {
  if (bytes.byteLength === 0) return 'an empty answer';
  if (ascii(bytes, 0, 4) === 'GIF8') return 'a GIF';
  const head = ascii(bytes, 0, 256).trimStart().toLowerCase();
  if (head.includes('<svg')) return 'an SVG';
  if (head.startsWith('<!doctype html') || head.startsWith('<html')) return 'an HTML page';
  return 'something else';
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, index) => bytes[index] === byte);
}

function ascii(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}
