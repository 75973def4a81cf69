export type ImageMimeType = 'image/png' | 'image/jpeg' | 'image/webp';

/** In pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface ImageKind {
  readonly mimeType: ImageMimeType;
  readonly extension: 'jpg' | 'png' | 'webp';
}

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const JPEG = [0xff, 0xd8, 0xff];

/** First bytes of files that are often sent by mistake, for messages. */
const OTHERS: readonly (readonly [head: RegExp, type: string])[] = [
  [/^GIF8/, 'image/gif'],
  [/^BM.{4}\0\0\0\0/s, 'image/bmp'],
  [/^(II\*\0|MM\0\*)/, 'image/tiff'],
  [/^.{4}ftypavi[fs]/s, 'image/avif'],
  [/^.{4}ftyp(hei|hev|mif1|msf1)/s, 'image/heic'],
  [/^.{4}ftyp/s, 'video/mp4'],
  [/^%PDF-/, 'application/pdf'],
  // A comment must not match beyond its end: trying every way to split text into comments would take forever.
  [/^\s*(<!--((?!-->).)*-->\s*)*<(!doctype html|html|head|body)/is, 'text/html'],
  [/<svg[\s>/]/i, 'image/svg+xml'],
];

/** The kind of an image by its first bytes; null for anything but JPEG, PNG and WebP. */
export function sniffImage(bytes: Uint8Array): ImageKind | null {
  if (startsWith(bytes, PNG)) return { mimeType: 'image/png', extension: 'png' };
  if (startsWith(bytes, JPEG)) return { mimeType: 'image/jpeg', extension: 'jpg' };
  if (latin1(bytes, 0, 4) === 'RIFF' && latin1(bytes, 8, 12) === 'WEBP') {
    return { mimeType: 'image/webp', extension: 'webp' };
  }
  return null;
}

/** The extension that files of a type have here. */
export function extensionOf(mimeType: ImageMimeType): ImageKind['extension'] {
  switch (mimeType) {
    case 'image/png':
      return 'png';
    case 'image/jpeg':
      return 'jpg';
    case 'image/webp':
      return 'webp';
    default:
      return mimeType satisfies never;
  }
}

/**
 * What bytes of another kind seem to be, as the beginning of a message: judged by their first bytes, otherwise the type
 * that the sender claims, unless that is obviously wrong.
 */
export function describeBytes(bytes: Uint8Array, claimedType: string | null): string {
  if (bytes.byteLength === 0) return 'an empty file';
  const head = latin1(bytes, 0, 512).replace(/^\xef\xbb\xbf/, '');
  const known = OTHERS.find(([pattern]) => pattern.test(head))?.[1];
  if (known !== undefined) return known;
  const wrong = claimedType === null || /^image\/(png|p?jpe?g|webp)$/.test(claimedType);
  return wrong ? 'something else' : claimedType;
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, index) => bytes[index] === byte);
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}
