import { createHash } from 'node:crypto';
import { collectBytes, type HashedBytes } from './collected-bytes.ts';
import { MAX_HEAD_LENGTH } from './data-uri.ts';

/** An image that came as a base64 data URI and was decoded while it arrived. */
export interface InlineImage extends HashedBytes {
  /** The data URI up to and including its comma. */
  readonly head: string;
}

/** The images of a request, by the names that stand for their base64 in its data URIs. */
export type InlineImages = ReadonlyMap<string, HashedBytes>;

export const NO_IMAGES: InlineImages = new Map();

/** The image whose name a data URI has in place of the base64; null if it has none. */
export function inlineImage(uri: string, images: InlineImages): InlineImage | null {
  const comma = uri.indexOf(',');
  const image = images.size === 0 ? undefined : images.get(uri.slice(comma + 1));
  if (image === undefined || comma > MAX_HEAD_LENGTH || !/^data:/i.test(uri)) return null;
  return { ...image, head: uri.slice(0, comma + 1) };
}

/** Bytes that are encoded at once: a multiple of three, so that no padding comes in between. */
const PIECE_BYTES = 48 * 1024;

/** The base64 of bytes, in pieces. */
export function* base64Of(bytes: Uint8Array): Generator<string, void> {
  for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString('base64');
  }
}

/** Decodes base64 that arrives in pieces. */
export interface Base64Decoder {
  /** Decodes the next part of the text. Returns false, and ignores the part, if the text cannot be the output of `base64Of`. */
  take(text: string): boolean;
  /** Decodes the last part, which may be empty. Returns null, and ignores the part, if the text is not the output of `base64Of`. */
  end(text: string): HashedBytes | null;
  /** The text so far without the ignored part, in pieces. */
  taken(): Generator<string, void>;
}

/** Creates a decoder. `expected`: the most bytes that the text can decode to; null if that is unknown. */
export function createBase64Decoder(expected: number | null): Base64Decoder {
  const hash = createHash('sha256');
  const decoded = collectBytes(expected);
  /** Text that is not decoded yet: less than a group of four characters, and the padding that has arrived. */
  let rest = '';

  /** Decodes groups of four characters. Returns false, and appends nothing, if a character is not of base64. */
  function append(text: string): boolean {
    // Buffer takes the alphabet for URLs, too.
    if (text.includes('-') || text.includes('_')) return false;
    const most = (text.length / 4) * 3;
    const room = decoded.room(most);
    const added = room.write(text, 'base64');
    const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
    // Buffer skips what is no base64, and ends at padding: then there are fewer bytes.
    if (added !== most - padding) return false;
    hash.update(room.subarray(0, added));
    decoded.add(added);
    return true;
  }

  return {
    take(text) {
      const all = rest + text;
      const padding = all.indexOf('=');
      if (padding >= 0 && padding < all.length - 2) return false;
      const end = padding < 0 ? all.length : padding;
      const whole = end - (end % 4);
      if (!append(all.slice(0, whole))) return false;
      rest = all.slice(whole);
      return true;
    },
    end(text) {
      const all = rest + text;
      const last = all.slice(-4);
      // The last bits of a padded group are none of the bytes: they have to be zero.
      const isWhole = all.length % 4 === 0 && Buffer.from(last, 'base64').toString('base64') === last;
      if (!isWhole || !append(all)) return null;
      rest = '';
      return { bytes: decoded.all(), sha256: hash.digest('hex') };
    },
    *taken() {
      yield* base64Of(decoded.all());
      yield rest;
    },
  };
}
