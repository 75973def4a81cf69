import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/** The connections of a server that is about to close. */
export interface Connections {
  /**
   * Closes each connection as soon as no request is in flight on it. Call it before `server.close()`, which waits for all
   * of them but closes only those between two requests: neither those without a first request, which browsers open in
   * advance, nor those whose request ends later. A request on one of those would be rejected with 503, and after that an
   * EventSource does not reconnect. Connections that are accepted meanwhile are closed, too.
   */
  closeUnused(): void;
}

/** Follows the connections of a server from now on. */
export function followConnections(server: Server): Connections {
  const unused = new Set<Socket>();
  let closing = false;

  function forget(this: Socket): void {
    unused.delete(this);
  }

  /** Leaves nothing behind on a connection that may stay open for hours. */
  function used({ socket }: IncomingMessage): void {
    if (unused.delete(socket)) socket.off('close', forget);
  }

  server.on('connection', (socket: Socket) => {
    if (closing) {
      socket.destroy();
      return;
    }
    unused.add(socket);
    socket.on('close', forget);
  });
  server.on('request', used);
  server.on('upgrade', used);

  return {
    closeUnused() {
      closing = true;
      for (const socket of unused) socket.destroy();
      // Counts from the end of each response.
      server.keepAliveTimeout = 1;
      server.keepAliveTimeoutBuffer = 0;
    },
  };
}
