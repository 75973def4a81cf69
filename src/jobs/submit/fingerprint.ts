import { createHash, type Hash } from 'node:crypto';
import { base64Of, type InlineImage } from '../../images/inline.ts';
import type { EditInput, ImageSource } from '../request.ts';

/** A hash of what an input requests. The order of fields does not matter. */
export function fingerprint(input: EditInput): string {
  return hashOf(input, uri => uri);
}

/** The same of the edits of a batch, in their order. */
export function fingerprintOf(edits: readonly EditInput[]): string {
  const hash = createHash('sha256').update('batch');
  const shortened = shortenUris();
  for (const edit of edits) hash.update(` ${hashOf(edit, shortened)} ${edit.variations ?? 1}`);
  return hash.digest('hex');
}

/** Data URIs of more characters are hashed once for all edits of a batch: a hundred may have one of 20 MB, which came once. */
const LONG_URI = 64 * 1024;

type DataUri = string | InlineText;

/** What stands for a data URI: itself, or for a long one its hash. */
function shortenUris(): (uri: DataUri) => DataUri {
  const hashes = new Map<string, string>();
  return uri => {
    if (uri.length <= LONG_URI) return uri;
    const name = typeof uri === 'string' ? uri : `${uri.image.head} ${uri.image.sha256}`;
    let hash = hashes.get(name);
    if (hash === undefined) {
      const hashing = createHash('sha256');
      updateWith(hashing, uri);
      hash = hashing.digest('hex');
      hashes.set(name, hash);
    }
    return hash;
  };
}

function hashOf(input: EditInput, shorten: (uri: DataUri) => DataUri): string {
  const { idempotencyKey: _, warnings: __, variations: ___, images, mask = null, ...rest } = input;
  // Without a mask it is the hash of earlier versions, which had none.
  const canonical = {
    ...rest,
    images: images.map(({ slot, source }) => ({ slot, source: contentOf(source, shorten) })),
    ...(mask === null ? {} : { mask: contentOf(mask, shorten) }),
  };
  const hash = createHash('sha256');
  updateWith(hash, canonical);
  return hash.digest('hex');
}

/** A file that is sent again is another upload with the same content. */
function contentOf(source: ImageSource, shorten: (uri: DataUri) => DataUri): object {
  switch (source.kind) {
    case 'form':
      return { kind: source.kind, sha256: source.sha256 };
    case 'inline':
      return { kind: 'dataUri', dataUri: shorten(new InlineText(source.image)) };
    case 'dataUri':
      return { kind: source.kind, dataUri: shorten(source.dataUri) };
    default:
      return source;
  }
}

/** The data URI that an image came as, which as a whole is not in memory. */
class InlineText {
  readonly image: InlineImage;
  /** In characters. */
  readonly length: number;

  constructor(image: InlineImage) {
    this.image = image;
    this.length = image.head.length + Math.ceil(image.bytes.byteLength / 3) * 4;
  }
}

/** Updates a hash with the JSON of a value, the keys of its objects sorted. Records have the hashes of earlier versions. */
function updateWith(hash: Hash, value: unknown): void {
  if (value instanceof InlineText) {
    hash.update(JSON.stringify(value.image.head).slice(0, -1));
    for (const piece of base64Of(value.image.bytes)) hash.update(piece, 'latin1');
    hash.update('"');
  } else if (Array.isArray(value)) {
    for (const [index, inner] of value.entries()) {
      hash.update(index === 0 ? '[' : ',');
      updateWith(hash, inner);
    }
    hash.update(value.length === 0 ? '[]' : ']');
  } else if (typeof value === 'object' && value !== null) {
    const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    // An object has keys that are integers first.
    const entries = Object.entries(Object.fromEntries(sorted)).filter(([, inner]) => inner !== undefined);
    for (const [index, [key, inner]] of entries.entries()) {
      hash.update(`${index === 0 ? '{' : ','}${JSON.stringify(key)}:`);
      updateWith(hash, inner);
    }
    hash.update(entries.length === 0 ? '{}' : '}');
  } else {
    hash.update(JSON.stringify(value) ?? 'null');
  }
}
