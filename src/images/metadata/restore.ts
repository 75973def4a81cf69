import { Readable } from 'node:stream';
import type { Edit } from './strip.ts';

/** Bytes of a file, both ends included. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Reads a part of a file; null when the file is gone. */
export type ReadPart = (range: Range) => Promise<Readable | null>;

/** The two files that the whole one is made from. */
export interface Halves {
  /** The file without its metadata, and how long it is. */
  readonly stripped: ReadPart;
  readonly strippedBytes: number;
  /** What was removed, one after another. */
  readonly removed: ReadPart;
  readonly edits: readonly Edit[];
}

/** How long the file is with what was removed from it. */
export function wholeBytes(strippedBytes: number, edits: readonly Edit[]): number {
  return edits.reduce((bytes, { written, removed }) => bytes - written + removed, strippedBytes);
}

/** A part of the file as it was before its metadata were removed. Fails when one of the two files is gone. */
export function restore(halves: Halves, range: Range): Readable {
  return Readable.from(partsOf(halves, range), { objectMode: false });
}

async function* partsOf(halves: Halves, range: Range): AsyncGenerator<Buffer> {
  let at = 0;
  for (const { read, start, bytes } of piecesOf(halves)) {
    const first = Math.max(range.start, at);
    const last = Math.min(range.end, at + bytes - 1);
    if (first <= last) {
      const part = await read({ start: start + first - at, end: start + last - at });
      if (part === null) throw new Error('A part of the picture is gone');
      yield* part;
    }
    at += bytes;
  }
}

/** The whole file as pieces of the two, in order. */
function* piecesOf({ stripped, strippedBytes, removed, edits }: Halves) {
  let kept = 0;
  let gone = 0;
  for (const edit of edits) {
    yield { read: stripped, start: kept, bytes: edit.at - kept };
    yield { read: removed, start: gone, bytes: edit.removed };
    kept = edit.at + edit.written;
    gone += edit.removed;
  }
  yield { read: stripped, start: kept, bytes: strippedBytes - kept };
}
