import { type Readable, Transform } from 'node:stream';

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

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/**
 * Chunks that hold words and not the picture (https://www.w3.org/TR/png-3/, 11.3.3 and 11.3.4.6): ComfyUI's SaveImage
 * writes the whole graph, prompts included, into tEXt (`nodes.py`). None of them changes how the picture looks.
 */
const PRIVATE: ReadonlySet<string> = new Set(['tEXt', 'zTXt', 'iTXt', 'eXIf']);
/** Length and type. */
const CHUNK_HEAD = 8;
const CRC = 4;

/**
 * Reads a PNG through and says where its private chunks are. Of what is no PNG nothing is private; a file that is cut
 * short is read as far as it goes.
 */
export async function findPrivateChunks(source: Readable): Promise<Span[]> {
  const spans: Span[] = [];
  let at = 0;
  /** Where the next head begins. */
  let next = 0;
  let wanted = SIGNATURE.length;
  let head = Buffer.alloc(0);
  let signed = false;
  for await (const given of source) {
    const chunk: Buffer = given;
    while (next < at + chunk.length) {
      const from = Math.max(0, next + head.length - at);
      head = Buffer.concat([head, chunk.subarray(from, from + wanted - head.length)]);
      if (head.length < wanted) break;
      if (signed) {
        const end = next + CHUNK_HEAD + head.readUInt32BE(0) + CRC;
        if (PRIVATE.has(head.toString('latin1', 4, 8))) spans.push({ start: next, end });
        next = end;
      } else {
        if (!head.equals(SIGNATURE)) return spans;
        signed = true;
        wanted = CHUNK_HEAD;
        next = SIGNATURE.length;
      }
      head = Buffer.alloc(0);
    }
    at += chunk.length;
  }
  return spans.map(({ start, end }) => ({ start, end: Math.min(end, at) }));
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
