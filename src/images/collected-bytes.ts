/** Bytes that arrive in pieces, in one buffer. To join them at the end would hold the event loop while it copies megabytes. */
export interface CollectedBytes {
  readonly length: number;
  /** Copies more of them. */
  append(bytes: Uint8Array): void;
  /** The free part of the buffer, of `needed` bytes at least. What is written into it counts once `add` is told how much it is. */
  room(needed: number): Buffer;
  add(length: number): void;
  /** All bytes. Does not copy them, so nothing may be added afterwards. */
  all(): Buffer;
}

const FIRST_BYTES = 64 * 1024;
/** When this share of what is expected has come, memory for all of it is allocated; until then twice what has come at most. */
const BELIEVED_SHARE = 1 / 8;

/** Starts without bytes. `expected` are announced; null: it is unknown how many will come. */
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
