import { ImageRefused } from './failure.ts';

/**
 * The bytes of a `data:` URI (RFC 2397), base64 or percent-encoded. The declared type is not believed. Throws
 * ImageRefused when it is none, or when it holds more than `maxBytes`, which is judged before anything is decoded.
 */
export function readDataUri(uri: string, maxBytes: number): Uint8Array {
  const comma = uri.indexOf(',');
  if (!/^data:/i.test(uri) || comma < 0 || comma > 256) {
    throw new ImageRefused('INVALID_INPUT', 'takes data:image/png;base64,… with a JPEG, PNG or WebP picture');
  }
  const base64 = /;\s*base64\s*$/i.test(uri.slice(5, comma));
  const length = uri.length - comma - 1;
  // Three bytes to four characters, with room for line breaks; percent-encoding takes one character at least.
  if (length > (base64 ? Math.ceil(maxBytes / 3) * 4 * 1.05 + 4 : maxBytes * 3)) throw tooLarge(maxBytes);
  const bytes = base64 ? fromBase64(uri.slice(comma + 1)) : fromPercent(uri.slice(comma + 1));
  if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
  return bytes;
}

/** The refusal of whatever has more than `maxBytes`. */
export function tooLarge(maxBytes: number): ImageRefused {
  const mebibytes = maxBytes / 1024 ** 2;
  const size = mebibytes >= 1 ? `${Number(mebibytes.toFixed(1))} MB` : `${maxBytes} bytes`;
  return new ImageRefused('INPUT_TOO_LARGE', `larger than ${size}`);
}

function fromBase64(text: string): Uint8Array {
  const compact = text.replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(compact) || compact.replace(/=+$/, '').length % 4 === 1) {
    throw new ImageRefused('INVALID_INPUT', 'the data URI is not valid base64');
  }
  return new Uint8Array(Buffer.from(compact, 'base64'));
}

function fromPercent(text: string): Uint8Array {
  if (/%(?![0-9a-f]{2})/i.test(text))
    throw new ImageRefused('INVALID_INPUT', 'the data URI is not percent-encoded');
  return new Uint8Array(
    Buffer.from(
      text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
      'latin1',
    ),
  );
}
