import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Artifacts } from '../jobs/image-stores.ts';
import { partsOfKey } from './artifacts-location.ts';
import type { SmallArtifacts } from './embedded/small-artifacts.ts';

/** Creating and flushing a file costs ten times as much as a row up to this size, and more than a row up to twice of it. */
const SMALL_BYTES = 16 * 1024;

export interface SmallApartOptions {
  /** Where keys start of artifacts that may be small; '': all. */
  readonly prefix: string;
  /** Whether new ones are stored in `small`. Otherwise only those are there that an earlier start stored. */
  readonly adds: boolean;
}

/**
 * Artifacts below `prefix` that are given as at most 16 KiB are stored in `small`, all others in `large`. An artifact is in
 * one of them, and in both only while it is replaced: then `small` counts. One in `small` has no signed URL.
 */
export function storeSmallApart(
  large: Artifacts,
  small: SmallArtifacts,
  { prefix, adds }: SmallApartOptions,
): Artifacts {
  /** Whether the key may be in `small`. Throws a TypeError for one that is not valid. */
  const mayBeSmall = (key: string): boolean => {
    partsOfKey(key);
    return prefix === '' || key.startsWith(`${prefix}/`);
  };
  const isSmall = (key: string): boolean => mayBeSmall(key) && small.size(key) !== null;
  const { sender, signedUrl } = large;

  return {
    ...large,
    async put(key, source) {
      if (adds && source instanceof Uint8Array && source.byteLength <= SMALL_BYTES && mayBeSmall(key)) {
        await small.put(key, source);
        if ((await large.size(key)) !== null) await large.remove(key);
        return source.byteLength;
      }
      const bytes = await large.put(key, source);
      if (isSmall(key)) await small.remove(key);
      return bytes;
    },
    async get(key, range) {
      const bytes = mayBeSmall(key) ? small.get(key) : null;
      if (bytes === null) return large.get(key, range);
      return streamOf(bytes, range);
    },
    ...(sender === undefined
      ? {}
      : {
          async sender(key, range) {
            const bytes = mayBeSmall(key) ? small.get(key) : null;
            if (bytes === null) return sender(key, range);
            return sink => pipeline(streamOf(bytes, range), sink);
          },
        }),
    ...(signedUrl === undefined
      ? {}
      : {
          async signedUrl(key, options) {
            return isSmall(key) ? null : signedUrl(key, options);
          },
        }),
    async size(key) {
      return (mayBeSmall(key) ? small.size(key) : null) ?? large.size(key);
    },
    async remove(key) {
      // Removing a row is a transaction also when there is none.
      if (isSmall(key)) await small.remove(key);
      else await large.remove(key);
    },
    async list(prefix) {
      const apart = prefix === '' ? [] : partsOfKey(prefix);
      const found = new Map((await large.list(prefix)).map(one => [one.key, one]));
      for (const one of small.list(apart.join('/'))) found.set(one.key, one);
      return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    },
  };
}

/** A stream of the bytes of a range, both ends included; of none it ends at once. */
function streamOf(bytes: Uint8Array, range = { start: 0, end: bytes.byteLength }): Readable {
  const part = bytes.subarray(range.start, range.end + 1);
  return Readable.from(part.byteLength === 0 ? [] : [Buffer.from(part)], { objectMode: false });
}
