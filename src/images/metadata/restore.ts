import { Readable } from 'node:stream';
import type { Edit, OnRemoved } from './strip.ts';

/** Limits on what is kept of one file's metadata: many times what a large workflow takes. */
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_EDITS = 32;

/** What was removed from a file, so that it can be restored. */
export interface Removed {
  readonly edits: readonly Edit[];
  /** The removed bytes of all edits in order. */
  readonly bytes: Buffer;
}

/** Collects what is removed from one file. */
export interface RemovedCollector {
  readonly onRemoved: OnRemoved;
  /** `nothing` was removed, or `too-much` to keep, so none of it was kept. */
  result(): Removed | 'nothing' | 'too-much';
}

/** Holds at most 4 MiB. */
export function collectRemoved(): RemovedCollector {
  const edits: Edit[] = [];
  let parts: Buffer[] = [];
  let bytes = 0;
  let tooMuch = false;
  return {
    onRemoved(part) {
      const last = edits.at(-1);
      const next = { at: part.at, written: part.written, removed: part.bytes.length };
      bytes += next.removed;
      const follows = last !== undefined && last.at + last.written === next.at;
      tooMuch ||= bytes > MAX_BYTES || (!follows && edits.length === MAX_EDITS);
      if (tooMuch) {
        parts = [];
        return;
      }
      // Copied, because a slice would keep its whole chunk in memory.
      parts.push(Buffer.from(part.bytes));
      if (!follows) edits.push(next);
      else {
        const { at, written, removed } = last;
        edits.splice(-1, 1, { at, written: written + next.written, removed: removed + next.removed });
      }
    },
    result() {
      if (tooMuch) return 'too-much';
      return edits.length === 0 ? 'nothing' : { edits, bytes: Buffer.concat(parts) };
    },
  };
}

/** Positions of the first and the last byte of a part of a file. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Reads a part of a file; null if the file is gone. */
export type ReadPart = (range: Range) => Promise<Readable | null>;

/** The two files that the original is restored from. */
export interface Halves {
  /** The file without its metadata, and its length. */
  readonly stripped: ReadPart;
  readonly strippedBytes: number;
  /** The removed bytes of all edits in order. */
  readonly removed: ReadPart;
  readonly edits: readonly Edit[];
}

/** The length of the original file. */
export function wholeBytes(strippedBytes: number, edits: readonly Edit[]): number {
  return edits.reduce((bytes, { written, removed }) => bytes - written + removed, strippedBytes);
}

/** A part of the original file. The stream fails if one of the two files is gone. */
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
      if (part === null) throw new Error('A part of the image is gone');
      yield* part;
    }
    at += bytes;
  }
}

/** The pieces of both files that make up the original, in order. */
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
