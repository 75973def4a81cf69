import { ImageRefused } from './failure.ts';
import { tooLarge } from './too-large.ts';

/** Longest part before the comma: a media type and a few parameters. */
const HEAD_LIMIT = 256;

/**
 * The bytes of a `data:` URI (RFC 2397), base64 or percent-encoded. The declared type is not believed. Throws
 * ImageRefused when it is none, or when it holds more than `maxBytes`, which is judged before anything is decoded.
 */
export function readDataUri(uri: string, maxBytes: number): Uint8Array {
  const comma = uri.indexOf(',');
  if (!/^data:/i.test(uri) || comma < 0 || comma > HEAD_LIMIT) {
    throw new ImageRefused('INVALID_INPUT', 'takes data:image/png;base64,… with a JPEG, PNG or WebP picture');
  }
  const base64 = /;\s*base64\s*$/i.test(uri.slice(5, comma));
  const length = uri.length - comma - 1;
  // Three bytes to four characters, with room for line breaks; percent-encoding takes three characters at most.
  if (length > (base64 ? Math.ceil(maxBytes / 3) * 4 * 1.05 + 4 : maxBytes * 3)) throw tooLarge(maxBytes);
  const text = uri.slice(comma + 1);
  const bytes = base64 ? fromBase64(text) : fromPercent(text);
  if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
  return bytes;
}

function fromBase64(text: string): Uint8Array {
  const unescaped = text.includes('%') ? unescapePercent(text, 'base64') : text;
  const compact = unescaped.replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(compact) || compact.replace(/=+$/, '').length % 4 === 1) {
    throw new ImageRefused('INVALID_INPUT', 'the data URI is not valid base64');
  }
  return new Uint8Array(Buffer.from(compact, 'base64'));
}

function fromPercent(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(unescapePercent(text, 'percent-encoded'), 'latin1'));
}

/** One character for each byte. */
function unescapePercent(text: string, form: string): string {
  if (/%(?![0-9a-f]{2})/i.test(text)) {
    throw new ImageRefused('INVALID_INPUT', `the data URI is not valid ${form}`);
  }
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
