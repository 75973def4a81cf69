import { pipeline, type Readable, Transform } from 'node:stream';
import { layoutOf, type Step } from './layout.ts';

/** A place where a file without its metadata differs from the file with it. */
export interface Edit {
  /** Where in the file without. */
  readonly at: number;
  /** How many bytes stand there in the place of what was removed. */
  readonly written: number;
  /** How many bytes were removed. */
  readonly removed: number;
}

/** Called with each part that goes, in order. */
export type OnRemoved = (part: { at: number; written: number; bytes: Buffer }) => void;

/**
 * The file that comes in, without what is not the picture. As much of it is held as one chunk of the source has. A file
 * that is cut short is read as far as it goes. An end of either stream ends the other.
 */
export function stripMetadata(source: Readable, onRemoved: OnRemoved): Readable {
  const editor = createEditor(onRemoved);
  const kept = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      for (const part of editor.take(chunk)) this.push(part);
      done();
    },
    flush(done) {
      done(null, editor.rest());
    },
  });
  // Whoever reads it is told.
  return pipeline(source, kept, () => undefined);
}

/** Follows the steps of a file's layout through the chunks in which it comes. */
function createEditor(onRemoved: OnRemoved) {
  const layout = layoutOf();
  let step: Step | null = layout.next().value ?? null;
  /** Bytes of the present step that are done. */
  let done = 0;
  let waiting: Buffer = Buffer.alloc(0);
  let written = 0;

  function next(seen: Buffer): void {
    step = layout.next(seen).value ?? null;
    done = 0;
  }

  /** What becomes of `given`, which lies within the present step. */
  function edit(present: Exclude<Step, { kind: 'peek' }>, given: Buffer): Buffer {
    switch (present.kind) {
      case 'keep':
        return given;
      case 'drop':
        onRemoved({ at: written, written: 0, bytes: given });
        return given.subarray(0, 0);
      case 'blank':
        onRemoved({ at: written, written: given.length, bytes: given });
        return Buffer.alloc(given.length);
      case 'swap': {
        const by = Buffer.from(present.by.subarray(done, done + given.length));
        if (by.equals(given)) return given;
        onRemoved({ at: written, written: by.length, bytes: given });
        return by;
      }
      default:
        return present satisfies never;
    }
  }

  return {
    /** What of the file goes on now. */
    *take(chunk: Buffer): Generator<Buffer> {
      waiting = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
      while (step !== null) {
        if (step.kind === 'peek') {
          if (waiting.length < step.bytes) return;
          next(waiting.subarray(0, step.bytes));
          continue;
        }
        const length = step.kind === 'swap' ? step.by.length : step.bytes;
        const given = waiting.subarray(0, length - done);
        const part = edit(step, given);
        waiting = waiting.subarray(given.length);
        written += part.length;
        done += given.length;
        if (part.length > 0) yield part;
        if (done < length) return;
        next(waiting.subarray(0, 0));
      }
      const left = waiting;
      waiting = waiting.subarray(0, 0);
      if (left.length > 0) yield left;
    },
    /** What was not enough to tell what it is. */
    rest: (): Buffer | null => (waiting.length === 0 ? null : waiting),
  };
}
