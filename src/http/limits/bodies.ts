import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { HeldBytes } from './held-bytes.ts';

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
