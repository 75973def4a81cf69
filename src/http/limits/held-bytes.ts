import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';

/** What counts the bytes that came on a connection; what stands in for one need not. */
export interface Counted {
  readonly bytesRead?: number | undefined;
}

/** A body or a message that is held in memory while it comes, and while it is worked on. */
export interface Held {
  /** Whose it is: a caller's or, while its callers are not known, an address's. */
  key: string;
  /** What it comes on. */
  readonly source: Counted;
  /** How many bytes had come before its first. */
  from: number;
  /** Ends it. False when it is whole already: then it is left to its end. */
  end(this: this): boolean;
}

/** A bound for all that is held, over all connections. While nothing is, it has no timer. */
export interface HeldBytes {
  add(held: Held): void;
  remove(held: Held): void;
  /** Whether so much is held already that nothing large should be begun. */
  full(): boolean;
}

/** Bytes come no faster than the network brings them: a look each second is enough. */
const CHECK_MS = 1_000;

/**
 * Counts what is held and, while it is more than `limit` bytes, ends the largest of whoever holds most: somebody who
 * sends a picture is not ended because another sends a hundred and finishes none.
 */
export function createHeldBytes(limit: number, checkMs: number = CHECK_MS): HeldBytes {
  const all = new Set<Held>();
  let timer: NodeJS.Timeout | null = null;

  function stop(): void {
    if (timer !== null) clearInterval(timer);
    timer = null;
  }

  function remove(held: Held): void {
    all.delete(held);
    if (all.size === 0) stop();
  }

  function total(): number {
    let sum = 0;
    for (const held of all) sum += bytesOf(held);
    return sum;
  }

  function check(): void {
    for (let sum = total(); sum > limit; ) {
      const freed = endLargest();
      if (freed === 0) return;
      sum -= freed;
    }
  }

  /** How many bytes were let go; 0 when there is nothing left to end. */
  function endLargest(): number {
    const sums = new Map<string, number>();
    for (const held of all) sums.set(held.key, (sums.get(held.key) ?? 0) + bytesOf(held));
    const ranked = [...all]
      .map(held => ({ held, bytes: bytesOf(held), sum: sums.get(held.key) ?? 0 }))
      .filter(({ bytes }) => bytes > 0)
      .sort((one, other) => other.sum - one.sum || other.bytes - one.bytes);
    for (const { held, bytes } of ranked) {
      if (!held.end()) continue;
      remove(held);
      return bytes;
    }
    return 0;
  }

  return {
    add(held) {
      all.add(held);
      timer ??= setInterval(check, checkMs).unref();
    },
    remove,
    full: () => total() > limit,
  };
}

function bytesOf({ source, from }: Held): number {
  return Math.max(0, (source.bytesRead ?? 0) - from);
}

/** A body below this is not worth counting. */
const SMALL_BYTES = 64 * 1024;

/** Whether a request's body may be worth counting. Of one in chunks nothing is known. */
export function mayBeLarge(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > SMALL_BYTES;
}

/** Counts a body from its first byte until it is answered. While it is not whole, it may be ended: with its connection. */
export function holdBody(
  heldBytes: HeldBytes,
  key: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { socket } = request;
  const held = {
    key,
    source: socket,
    from: socket.bytesRead,
    end() {
      if (request.complete) return false;
      socket.destroy();
      return true;
    },
  };
  heldBytes.add(held);
  response.once('close', () => heldBytes.remove(held));
}
