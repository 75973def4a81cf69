import { pipeline, type Readable, Transform } from 'node:stream';
import { layoutOf, type Step } from './layout.ts';

/** A place where a stripped file differs from its original. */
export interface Edit {
  /** Position in the stripped file. */
  readonly at: number;
  /** How many bytes there replace the removed ones. */
  readonly written: number;
  /** How many bytes were removed. */
  readonly removed: number;
}

/** Called with each removed part, in order. */
export type OnRemoved = (part: { at: number; written: number; bytes: Buffer }) => void;

/**
 * Removes the metadata from an image while it streams. Holds about one chunk of the source in memory. A truncated file
 * is processed up to its end. If either stream is destroyed, so is the other.
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
  // The reader of `kept` gets the error.
  return pipeline(source, kept, () => undefined);
}

/** Applies the steps of a file's layout to the chunks it arrives in. */
function createEditor(onRemoved: OnRemoved) {
  const layout = layoutOf();
  let step: Step | null = layout.next().value ?? null;
  /** Bytes of the current step that are done. */
  let done = 0;
  let waiting: Buffer = Buffer.alloc(0);
  let written = 0;

  function next(seen: Buffer): void {
    step = layout.next(seen).value ?? null;
    done = 0;
  }

  /** Applies the current step to `given`, which is part of it. */
  function edit(current: Exclude<Step, { kind: 'peek' }>, given: Buffer): Buffer {
    switch (current.kind) {
      case 'keep':
        return given;
      case 'drop':
        onRemoved({ at: written, written: 0, bytes: given });
        return given.subarray(0, 0);
      case 'blank':
        onRemoved({ at: written, written: given.length, bytes: given });
        return Buffer.alloc(given.length);
      case 'swap': {
        const by = Buffer.from(current.by.subarray(done, done + given.length));
        if (by.equals(given)) return given;
        onRemoved({ at: written, written: by.length, bytes: given });
        return by;
      }
      default:
        return current satisfies never;
    }
  }

  return {
    /** The parts of the stripped file that are known so far. */
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
    /** The end of the file, if it was too short for the last peek. */
    rest: (): Buffer | null => (waiting.length === 0 ? null : waiting),
  };
}
