import { ImageRefused } from './failure.ts';
import { tooLarge } from './too-large.ts';

/** Longest part before the comma: a media type and a few parameters. */
const HEAD_LIMIT = 256;
const TAB = 0x09;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const PERCENT = 0x25;

/**
 * The bytes of a `data:` URI (RFC 2397), base64 or percent-encoded, white space around it apart. The declared type is
 * not believed. Throws ImageRefused when it is none, or when it holds more than `maxBytes`; what is plainly too long is
 * not decoded at all.
 */
export function readDataUri(uri: string, maxBytes: number): Uint8Array {
  const trimmed = uri.trim();
  const comma = trimmed.indexOf(',');
  if (!/^data:/i.test(trimmed) || comma < 0 || comma > HEAD_LIMIT) {
    throw new ImageRefused('INVALID_INPUT', 'takes data:image/png;base64,… with a JPEG, PNG or WebP picture');
  }
  const base64 = /;\s*base64\s*$/i.test(trimmed.slice(5, comma));
  // Base64 takes four characters for three bytes, and any character may be written as an escape of three.
  const mostCharacters = base64 ? Math.ceil(maxBytes / 3) * 4 : maxBytes;
  if (trimmed.length - comma - 1 > mostCharacters * 3) throw tooLarge(maxBytes);
  const text = Buffer.from(trimmed.slice(comma + 1));
  const unescaped = unescapePercent(text, base64 ? 'base64' : 'percent-encoded');
  const bytes = base64 ? fromBase64(unescaped) : new Uint8Array(unescaped);
  if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
  return bytes;
}

function fromBase64(text: Buffer): Uint8Array {
  const compact = withoutWhitespace(text).toString('latin1');
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(compact) || compact.replace(/=+$/, '').length % 4 === 1) {
    throw notValid('base64');
  }
  return new Uint8Array(Buffer.from(compact, 'base64'));
}

/** Changes `text`. A loop, because replacing in a string takes seconds and gigabytes when all of it is escapes. */
function unescapePercent(text: Buffer, form: string): Buffer {
  if (!text.includes(PERCENT)) return text;
  let length = 0;
  for (let at = 0; at < text.byteLength; at += 1) {
    let byte = text[at] ?? 0;
    if (byte === PERCENT) {
      const high = hexDigit(text[at + 1]);
      const low = hexDigit(text[at + 2]);
      if (high === null || low === null) throw notValid(form);
      byte = high * 16 + low;
      at += 2;
    }
    text[length] = byte;
    length += 1;
  }
  return text.subarray(0, length);
}

/** Changes `text`. */
function withoutWhitespace(text: Buffer): Buffer {
  let length = 0;
  for (let at = 0; at < text.byteLength; at += 1) {
    const byte = text[at] ?? 0;
    if (byte === SPACE || (byte >= TAB && byte <= CARRIAGE_RETURN)) continue;
    text[length] = byte;
    length += 1;
  }
  return text.subarray(0, length);
}

function hexDigit(character: number | undefined): number | null {
  if (character === undefined) return null;
  if (character >= 0x30 && character <= 0x39) return character - 0x30;
  // The bit that tells lower case from upper.
  const letter = character | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : null;
}

function notValid(form: string): ImageRefused {
  return new ImageRefused('INVALID_INPUT', `the data URI is not valid ${form}`);
}
