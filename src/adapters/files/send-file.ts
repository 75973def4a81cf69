import { close, read } from 'node:fs';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';

/** One piece of a file. */
const PIECE_BYTES = 128 * 1024;

const calls = { close: promisify(close), read: promisify(read) };

/** Bytes of a file, both ends included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Writes a part of an open file to `sink`, ends it, and closes the file, whatever happens. Two buffers take turns for all
 * of it: one is read into while the other is on its way, so a file costs the same memory however long it is, and none
 * that would have to be collected. Rejects when the file ends early or the sink goes.
 */
export async function sendFile(descriptor: number, { start, end }: Span, sink: Writable): Promise<void> {
  const gone = Promise.withResolvers<never>();
  const leave = (): void => gone.reject(new Error('Whoever read it went'));
  sink.once('close', leave);
  let [present, other] = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)];
  let reading = readPiece(descriptor, present, start, end);
  try {
    for (let at = start; at <= end; ) {
      const bytes = await reading;
      if (bytes === 0) throw new Error(`The file ends ${end + 1 - at} bytes early`);
      const flushed = Promise.race([write(sink, present.subarray(0, bytes)), gone.promise]);
      at += bytes;
      // The other one was flushed a turn ago: nobody reads it any more.
      [present, other] = [other, present];
      reading = readPiece(descriptor, present, at, end);
      await Promise.all([flushed, reading]);
    }
    sink.end();
  } finally {
    sink.off('close', leave);
    // Nobody waits for it when nothing went wrong.
    gone.promise.catch(() => undefined);
    // Nothing may read any more when its number is given to another file. That it failed was told above.
    await reading.catch(() => 0);
    await calls.close(descriptor);
  }
}

/** Resolves when the bytes have left, so that their buffer may be used again. */
function write(sink: Writable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(bytes, error => (error ? reject(error) : resolve()));
  });
}

/** Up to a buffer full; 0 behind the end. */
async function readPiece(descriptor: number, into: Buffer, at: number, end: number): Promise<number> {
  if (at > end) return 0;
  const length = Math.min(into.byteLength, end + 1 - at);
  return (await calls.read(descriptor, into, 0, length, at)).bytesRead;
}
