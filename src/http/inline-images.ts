import { randomUUID } from 'node:crypto';
import { collectBytes, type HashedBytes } from '../images/collected-bytes.ts';
import {
  type Base64Decoder,
  base64Of,
  createBase64Decoder,
  type InlineImages,
  NO_IMAGES,
} from '../images/inline.ts';

/** Reads a JSON body of which the base64 of large images is decoded while it arrives. */
export interface BodyReader {
  /** Reads the next bytes, and keeps no reference to them. */
  take(chunk: Buffer): void;
  /** Ends the body. */
  end(): ReadBody;
}

export interface ReadBody {
  /** The body with a name in place of the base64 of each image. */
  readonly text: Buffer;
  readonly images: InlineImages;
  /** The body as it came. */
  original(): Buffer;
}

/** The end of the head of a base64 data URI (RFC 2397) as clients write it. Other spellings stay in the body. */
const MARK = Buffer.from(';base64,');
const QUOTE = 0x22;
/** Smaller images stay in the body. */
const LEAST_BYTES = 48 * 1024;
/** After this many marks without a large image the rest of the body is text: each mark costs memory for a decoder. */
const MOST_SMALL = 100;
/** The base64 of three bytes is four characters. */
const BYTES_OF_CHARACTER = 3 / 4;

/** A body without images. */
export function bodyWithout(bytes: Buffer): ReadBody {
  return { text: bytes, images: NO_IMAGES, original: () => bytes };
}

/** Creates a reader. `length`: the bytes of the body; null if that is unknown. */
export function createBodyReader(length: number | null): BodyReader {
  const name = `inline-${randomUUID()}`;
  const kept = collectBytes(null);
  const images = new Map<string, HashedBytes>();
  let received = 0;
  let small = 0;
  /** Of the image that is arriving; null: text is. */
  let decoder: Base64Decoder | null = null;
  /** The last bytes of the text so far, in which the mark may have begun. */
  let tail = Buffer.alloc(0);

  function keepAll(pieces: Iterable<string>): void {
    for (const piece of pieces) kept.append(Buffer.from(piece, 'latin1'));
  }

  /** Reads text from `at` until an image begins. Returns where in the chunk that is. */
  function takeText(chunk: Buffer, at: number): number {
    if (small >= MOST_SMALL) {
      kept.append(chunk.subarray(at));
      return chunk.byteLength;
    }
    const across = Buffer.concat([tail, chunk.subarray(at, at + MARK.byteLength - 1)]);
    const begun = across.indexOf(MARK);
    const found = begun < 0 ? chunk.indexOf(MARK, at) : at + begun - tail.byteLength;
    const isFound = begun >= 0 || found >= 0;
    const end = isFound ? found + MARK.byteLength : chunk.byteLength;
    kept.append(chunk.subarray(at, end));
    if (!isFound) {
      const text = Buffer.concat([tail, chunk.subarray(Math.max(at, end - MARK.byteLength))]);
      tail = text.subarray(Math.max(0, text.byteLength - MARK.byteLength + 1));
      return end;
    }
    tail = Buffer.alloc(0);
    const left =
      length === null ? null : Math.floor((length - received + chunk.byteLength - end) * BYTES_OF_CHARACTER);
    decoder = createBase64Decoder(left);
    return end;
  }

  /** Reads base64 from `at` until the string ends. Returns where in the chunk that is, or `at` if it is text after all. */
  function takeImage(chunk: Buffer, at: number, image: Base64Decoder): number {
    const quote = chunk.indexOf(QUOTE, at);
    const end = quote < 0 ? chunk.byteLength : quote;
    const text = chunk.toString('latin1', at, end);
    if (quote < 0) {
      if (image.take(text)) return end;
    } else {
      const decoded = image.end(text);
      if (decoded !== null) {
        decoder = null;
        const isLarge = decoded.bytes.byteLength >= LEAST_BYTES;
        if (!isLarge) small += 1;
        keepAll(isLarge ? [addImage(decoded)] : base64Of(decoded.bytes));
        return end;
      }
    }
    keepAll(image.taken());
    small += 1;
    decoder = null;
    return at;
  }

  function addImage(image: HashedBytes): string {
    const text = `${name}-${images.size}`;
    images.set(text, image);
    return text;
  }

  return {
    take(chunk) {
      received += chunk.byteLength;
      for (let at = 0; at < chunk.byteLength; ) {
        at = decoder === null ? takeText(chunk, at) : takeImage(chunk, at, decoder);
      }
    },
    end() {
      if (decoder !== null) keepAll(decoder.taken());
      const text = kept.all();
      return { text, images, original: () => withBase64(text, images) };
    },
  };
}

/** The text with the base64 of all images in it. */
function withBase64(text: Buffer, images: InlineImages): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const [name, { bytes }] of images) {
    const found = text.indexOf(name, at);
    parts.push(text.subarray(at, found));
    for (const piece of base64Of(bytes)) parts.push(Buffer.from(piece, 'latin1'));
    at = found + name.length;
  }
  return Buffer.concat([...parts, text.subarray(at)]);
}
