import { createHash } from 'node:crypto';

/** Bytes that arrive in pieces, collected in one buffer. Joining megabytes at the end would hold the event loop. */
export interface CollectedBytes {
  readonly length: number;
  /** Copies these to the end. */
  append(bytes: Uint8Array): void;
  /** The free space at the end, at least `needed` bytes. After writing to it, call `add`. */
  room(needed: number): Buffer;
  /** Counts bytes that were written to `room`. */
  add(length: number): void;
  /** All bytes. Does not copy them, so nothing may be added afterwards. */
  all(): Buffer;
}

const FIRST_BYTES = 64 * 1024;
/** All expected bytes are allocated once this share of them has arrived; before that, at most twice what has arrived. */
const BELIEVED_SHARE = 1 / 8;

/** Starts empty. `expected`: the announced number of bytes; null if there is none. */
export function collectBytes(expected: number | null): CollectedBytes {
  let buffer = Buffer.allocUnsafeSlow(Math.min(expected ?? FIRST_BYTES, FIRST_BYTES));
  let length = 0;

  function room(needed: number): Buffer {
    const total = length + needed;
    if (total > buffer.byteLength) {
      const isBelieved = expected !== null && expected >= total && total >= expected * BELIEVED_SHARE;
      const larger = Buffer.allocUnsafeSlow(isBelieved ? expected : Math.max(total, buffer.byteLength * 2));
      buffer.copy(larger, 0, 0, length);
      buffer = larger;
    }
    return buffer.subarray(length);
  }

  return {
    get length() {
      return length;
    },
    append(bytes) {
      room(bytes.byteLength).set(bytes);
      length += bytes.byteLength;
    },
    room,
    add(added) {
      length += added;
    },
    all: () => buffer.subarray(0, length),
  };
}

export interface HashedBytes {
  readonly bytes: Uint8Array;
  /** Of `bytes`, in hex. */
  readonly sha256: string;
}

/**
 * Reads a source to its end and hashes what arrives: the hash of 16 MB at once holds the event loop for 10 ms. `check` is called
 * with the number of bytes so far, before they are kept; its error ends the reading.
 */
export async function collectHashed(
  source: AsyncIterable<Uint8Array>,
  expected: number | null,
  check: (length: number) => void = () => undefined,
): Promise<HashedBytes> {
  const collected = collectBytes(expected);
  const hash = createHash('sha256');
  for await (const chunk of source) {
    check(collected.length + chunk.byteLength);
    collected.append(chunk);
    hash.update(chunk);
  }
  return { bytes: collected.all(), sha256: hash.digest('hex') };
}
