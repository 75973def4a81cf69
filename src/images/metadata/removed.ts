import type { Edit, OnRemoved } from './strip.ts';

/** So much is kept, in bytes and in places: many times what a large workflow takes. */
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_EDITS = 32;

/** What was removed from a file, so that it can be put back. */
export interface Removed {
  readonly edits: readonly Edit[];
  /** One after another. */
  readonly bytes: Buffer;
}

/** Gathers what is removed from one file. */
export interface RemovedCollector {
  readonly onRemoved: OnRemoved;
  /** `nothing` was removed, or `too-much` to keep: then it is gone. */
  result(): Removed | 'nothing' | 'too-much';
}

/** Starts with nothing. Holds 4 MiB at most. */
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
      // Copied: a part of a chunk would keep all of it in memory.
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
