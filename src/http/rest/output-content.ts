import type { Readable, Writable } from 'node:stream';
import { type Range, restore, wholeBytes } from '../../images/metadata/restore.ts';
import type { OutputImage } from '../../jobs/job.ts';
import type { Artifacts } from '../../jobs/ports.ts';
import { findPrivateChunks, type Span, withoutSpans } from './png-metadata.ts';

/** What a download consists of. */
export interface Content {
  readonly bytes: number;
  /** Whether it is the stored file, byte for byte. */
  readonly asStored: boolean;
  /** All of it, or a part of it; null when it is gone. */
  read(range?: Range): Promise<Readable | null>;
  /** As `Artifacts.sender`. */
  sender?: ((range?: Range) => Promise<((sink: Writable) => Promise<void>) | null>) | undefined;
}

/**
 * The `picture` without what the engine wrote into the file of the request, the `whole` file with it, or what is `stored`,
 * whichever that is.
 */
export type Wanted = 'picture' | 'whole' | 'stored';

/** Pictures as they are stored, with what was removed from them, or without what was not. */
export interface OutputContents {
  /** Null when it is gone. */
  of(output: OutputImage, wanted: Wanted): Promise<Content | null>;
}

/** Files whose private parts are remembered: a stored picture never changes. */
const REMEMBERED = 1000;

/** Reads from these artifacts. */
export function createOutputContents(artifacts: Artifacts): OutputContents {
  const known = new Map<string, readonly Span[]>();

  function stored(output: OutputImage, bytes: number): Content {
    return {
      bytes,
      asStored: true,
      read: range => artifacts.get(output.key, range),
      sender: artifacts.sender && (async range => artifacts.sender?.(output.key, range) ?? null),
    };
  }

  function restored(
    { key }: OutputImage,
    bytes: number,
    removed: NonNullable<OutputImage['removed']>,
  ): Content {
    const whole = wholeBytes(bytes, removed.edits);
    const halves = {
      stripped: (range: Range) => artifacts.get(key, range),
      strippedBytes: bytes,
      removed: (range: Range) => artifacts.get(removed.key, range),
      edits: removed.edits,
    };
    return {
      bytes: whole,
      asStored: false,
      read: async (range = { start: 0, end: whole - 1 }) => restore(halves, range),
    };
  }

  /** One that was stored as the engine wrote it, by an earlier version: it is read through once. */
  async function stripped({ key }: OutputImage, bytes: number): Promise<Content | null> {
    let spans = known.get(key);
    if (spans === undefined) {
      const content = await artifacts.get(key);
      if (content === null) return null;
      spans = await findPrivateChunks(content);
      const [oldest] = known.keys();
      if (known.size >= REMEMBERED && oldest !== undefined) known.delete(oldest);
      known.set(key, spans);
    }
    const left = withoutSpans(bytes, spans);
    return {
      bytes: left.size,
      asStored: left.size === bytes,
      async read(range) {
        const part = range === undefined ? undefined : left.sourceRange(range);
        const source = await artifacts.get(key, part);
        return source === null ? null : left.strip(source, part?.start ?? 0);
      },
    };
  }

  return {
    async of(output, wanted) {
      const bytes = await artifacts.size(output.key);
      if (bytes === null) return null;
      const { removed } = output;
      if (removed === undefined && wanted === 'picture' && output.mimeType === 'image/png') {
        return stripped(output, bytes);
      }
      if (wanted !== 'whole' || removed === undefined || removed === null) return stored(output, bytes);
      return (await artifacts.size(removed.key)) === null ? null : restored(output, bytes, removed);
    },
  };
}
