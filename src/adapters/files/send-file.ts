import { close, read } from 'node:fs';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';

const CHUNK_BYTES = 128 * 1024;

const fs = { close: promisify(close), read: promisify(read) };

/** A range of bytes, both ends included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Writes a range of an open file to `sink`, ends the sink, and closes the file in any case. Two buffers alternate: one is
 * filled while the other is being sent. So a file of any size takes the same memory, and none for the garbage
 * collector. Rejects when the file ends early or the sink closes.
 */
export async function sendFile(descriptor: number, { start, end }: ByteRange, sink: Writable): Promise<void> {
  const closed = Promise.withResolvers<never>();
  const onClose = (): void => closed.reject(new Error('The reader closed the connection'));
  sink.once('close', onClose);
  let [current, other] = [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)];
  let reading = readChunk(descriptor, current, start, end);
  try {
    for (let at = start; at <= end; ) {
      const bytes = await reading;
      if (bytes === 0) throw new Error(`The file ends ${end + 1 - at} bytes early`);
      const flushed = Promise.race([write(sink, current.subarray(0, bytes)), closed.promise]);
      at += bytes;
      // The other buffer was flushed in the previous round, so it is free.
      [current, other] = [other, current];
      reading = readChunk(descriptor, current, at, end);
      await Promise.all([flushed, reading]);
    }
    sink.end();
  } finally {
    sink.off('close', onClose);
    // Without an error nothing awaits this promise.
    closed.promise.catch(() => undefined);
    // Closing during a read could let it read another file with the same descriptor. Its error was thrown above.
    await reading.catch(() => 0);
    await fs.close(descriptor);
  }
}

/** Resolves when the bytes have been sent, so that their buffer can be reused. */
function write(sink: Writable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(bytes, error => (error ? reject(error) : resolve()));
  });
}

/** Reads up to one buffer; resolves with 0 after the end. */
async function readChunk(descriptor: number, into: Buffer, at: number, end: number): Promise<number> {
  if (at > end) return 0;
  const length = Math.min(into.byteLength, end + 1 - at);
  return (await fs.read(descriptor, into, 0, length, at)).bytesRead;
}
