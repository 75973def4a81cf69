import { type Readable, Transform } from 'node:stream';
import { stripMetadata } from '../../images/metadata/strip.ts';

/** Bytes of a file from `start` up to, and without, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A file without some of its parts. */
export interface Stripped {
  /** Of what is left. */
  readonly size: number;
  /** The part of the file that holds this part of what is left; both ends count. */
  sourceRange(range: { start: number; end: number }): { start: number; end: number };
  /** What is left of a stream that begins at `from` in the file. */
  strip(source: Readable, from: number): Readable;
}

/**
 * Reads a PNG through and says where the chunks are that hold words and not the picture. A file that is cut short is read
 * as far as it goes.
 */
export async function findPrivateChunks(source: Readable): Promise<Span[]> {
  const spans: Span[] = [];
  /** Bytes that were left out before: as far as a place in what is kept lies behind the one in the file. */
  let dropped = 0;
  const kept = stripMetadata(source, ({ at, bytes }) => {
    const start = at + dropped;
    dropped += bytes.length;
    const last = spans.at(-1);
    if (last?.end === start) spans.splice(-1, 1, { start: last.start, end: start + bytes.length });
    else spans.push({ start, end: start + bytes.length });
  });
  for await (const _ of kept);
  return spans;
}

/** A file of `size` bytes without these spans, which are in order and apart. */
export function withoutSpans(size: number, spans: readonly Span[]): Stripped {
  const sourceOf = (position: number): number => {
    let source = position;
    for (const { start, end } of spans) {
      if (start > source) break;
      source += end - start;
    }
    return source;
  };
  return {
    size: spans.reduce((left, { start, end }) => left - (end - start), size),
    sourceRange: ({ start, end }) => ({ start: sourceOf(start), end: sourceOf(end) }),
    strip(source, from) {
      if (spans.every(({ end }) => end <= from)) return source;
      let at = from;
      const kept = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          let left = 0;
          for (const { start, end } of spans) {
            const first = Math.max(0, start - at);
            const last = Math.min(chunk.length, end - at);
            if (last <= first) continue;
            if (first > left) this.push(chunk.subarray(left, first));
            left = last;
          }
          if (left < chunk.length) this.push(chunk.subarray(left));
          at += chunk.length;
          done();
        },
      });
      source.once('error', error => kept.destroy(error));
      kept.once('close', () => source.destroy());
      return source.pipe(kept);
    },
  };
}
