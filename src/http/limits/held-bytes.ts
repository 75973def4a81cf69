import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { onceClosed } from '../closed.ts';

/** Anything with a byte counter, such as a socket. Test doubles may omit it. */
export interface Counted {
  readonly bytesRead?: number | undefined;
}

/** A request body or socket message that is in memory, from its first byte until it has been processed. */
export interface Held {
  /** The key of its client, as `clientKeyOf` makes it. */
  key: string;
  /** The connection it arrives on. */
  readonly source: Counted;
  /** The source's `bytesRead` before its first byte. */
  from: number;
  /** Closes its connection. False when it has arrived completely: then it is left to finish. */
  end(this: this): boolean;
}

/** A limit on the bytes held over all connections. */
export interface HeldBytes {
  add(held: Held): void;
  remove(held: Held): void;
  /** Whether the limit is exceeded, so that no large body should be started. */
  full(): boolean;
}

/** The network limits how fast bytes arrive, so a check each second is enough. */
const CHECK_MS = 1_000;

/**
 * Sums up what is held each second and, while that exceeds `limit` bytes, ends the largest item of the client that holds
 * most: a client that sends one image is not cut off because another one sends a hundred and finishes none. Runs a timer
 * only while something is held.
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

  /** Returns the number of bytes freed; 0: nothing is left to end. */
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

/** Bodies up to this size are not counted. */
const SMALL_BYTES = 64 * 1024;

/** Whether a request's body may exceed that. The size of a chunked body is unknown. */
export function mayBeLarge(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > SMALL_BYTES;
}

/** Counts a body until its response is closed. An incomplete body may be ended together with its connection. */
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
  onceClosed(response, () => heldBytes.remove(held));
}
