import { ImageError, tooLarge } from './errors.ts';

/** Longest part in front of the comma: a media type and a few parameters. */
export const MAX_HEAD_LENGTH = 256;
const TAB = 0x09;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const PERCENT = 0x25;

/**
 * The bytes of a `data:` URI (RFC 2397), base64 or percent-encoded, optionally surrounded by white space. Ignores the
 * declared type. Throws an ImageError if it is invalid or has more than `maxBytes`; does not decode a URI that is
 * obviously too long.
 */
export function readDataUri(uri: string, maxBytes: number): Uint8Array {
  const trimmed = uri.trim();
  const comma = trimmed.indexOf(',');
  if (!/^data:/i.test(trimmed) || comma < 0 || comma > MAX_HEAD_LENGTH) {
    throw new ImageError('INVALID_INPUT', 'takes data:image/png;base64,… with a JPEG, PNG or WebP image');
  }
  const base64 = /;\s*base64\s*$/i.test(trimmed.slice(5, comma));
  // Base64 has four characters for three bytes, and any character may be an escape of three.
  const maxCharacters = base64 ? Math.ceil(maxBytes / 3) * 4 : maxBytes;
  if (trimmed.length - comma - 1 > maxCharacters * 3) throw tooLarge(maxBytes);
  const content = trimmed.slice(comma + 1);
  const plain = base64 ? fromPlainBase64(content) : null;
  if (plain !== null) {
    if (plain.byteLength > maxBytes) throw tooLarge(maxBytes);
    return plain;
  }
  const text = Buffer.from(content);
  const unescaped = unescapePercent(text, base64 ? 'base64' : 'percent-encoded');
  const bytes = base64 ? fromBase64(unescaped) : new Uint8Array(unescaped);
  if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
  return bytes;
}

/**
 * The bytes of base64 as almost everyone sends it, decoded at once; null if it has anything else in it. Buffer skips what is
 * no base64, and ends at padding: then there are fewer bytes than the characters are for.
 */
function fromPlainBase64(text: string): Uint8Array | null {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const characters = text.length - padding;
  // One character more than whole bytes need could be skipped without being missed.
  if (characters % 4 === 1) return null;
  const bytes = Buffer.from(text, 'base64');
  return bytes.byteLength === Math.floor((characters * 3) / 4) ? bytes : null;
}

function fromBase64(text: Buffer): Uint8Array {
  const compact = withoutWhitespace(text).toString('latin1');
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(compact) || compact.replace(/=+$/, '').length % 4 === 1) {
    throw invalid('base64');
  }
  return new Uint8Array(Buffer.from(compact, 'base64'));
}

/** Modifies `text`. A loop, because replacing in a string of escapes only would take seconds and gigabytes. */
function unescapePercent(text: Buffer, form: string): Buffer {
  if (!text.includes(PERCENT)) return text;
  let length = 0;
  for (let at = 0; at < text.byteLength; at += 1) {
    let byte = text[at] ?? 0;
    if (byte === PERCENT) {
      const high = hexDigit(text[at + 1]);
      const low = hexDigit(text[at + 2]);
      if (high === null || low === null) throw invalid(form);
      byte = high * 16 + low;
      at += 2;
    }
    text[length] = byte;
    length += 1;
  }
  return text.subarray(0, length);
}

/** Modifies `text`. */
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
  // Sets the bit that makes a letter lower case.
  const letter = character | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : null;
}

function invalid(form: string): ImageError {
  return new ImageError('INVALID_INPUT', `the data URI is not valid ${form}`);
}
