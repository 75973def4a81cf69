import { CloseCode, type Server } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { Log } from '../../log.ts';

/**
 * Lets graphql-ws speak over a socket. Its own adapter for `ws` would hold the request of the upgrade and a timer for
 * each socket for as long as it is open; sockets are kept alive by `startHeartbeat`.
 */
export function speakOver<Extra>(protocol: Server<Extra>, socket: WebSocket, extra: Extra, log: Log): void {
  const closed = protocol.opened(
    {
      protocol: socket.protocol,
      send: text =>
        // What was on its way when a socket went is nobody's fault: its close tells.
        new Promise(resolve => {
          socket.send(text, () => resolve());
        }),
      close: (code, reason) => socket.close(code, reason),
      onMessage(handle) {
        socket.on('message', data => {
          handle(data.toString()).catch((error: unknown) => {
            log.error({ error: String(error) }, 'a message of a socket could not be handled');
            socket.close(CloseCode.InternalServerError, 'Internal server error');
          });
        });
      },
    },
    extra,
  );
  socket.on('close', (code, reason) => {
    closed(code, reason.toString()).catch((error: unknown) => {
      log.error({ error: String(error) }, 'the operations of a socket could not be ended');
    });
  });
}
