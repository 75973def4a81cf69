import { CloseCode, MessageType, type Server } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { Log } from '../../log.ts';

/** Characters. A ping's payload is echoed in its pong, as graphql-ws does, unless it is longer. */
const LONGEST_ECHO = 1_024;

export interface Conversation<Extra> {
  readonly protocol: Server<Extra>;
  readonly socket: WebSocket;
  readonly extra: Extra;
  /** Called with each message's length in characters; a message for which it returns false is dropped. */
  readonly accept: (extra: Extra, characters: number) => boolean;
  readonly log: Log;
}

/**
 * Connects graphql-ws to a socket. The adapter for `ws` that comes with graphql-ws would hold the upgrade's request and a
 * timer for as long as each socket is open; here `startHeartbeat` keeps sockets alive.
 */
export function speakOver<Extra>({ protocol, socket, extra, accept, log }: Conversation<Extra>): void {
  const send = (text: string): Promise<void> =>
    // A message that is lost with its socket is not an error: the close says so.
    new Promise(resolve => {
      socket.send(text, () => resolve());
    });
  const closed = protocol.opened(
    {
      protocol: socket.protocol,
      send,
      close: (code, reason) => socket.close(code, reason),
      onPing(payload) {
        const echo = JSON.stringify(payload);
        const fits = payload !== undefined && echo.length <= LONGEST_ECHO;
        return send(JSON.stringify({ type: MessageType.Pong, ...(fits ? { payload } : {}) }));
      },
      onMessage(handle) {
        socket.on('message', data => {
          const text = data.toString();
          if (!accept(extra, text.length)) return;
          handle(text).catch((error: unknown) => {
            log.error({ err: error }, 'handling a socket message failed');
            socket.close(CloseCode.InternalServerError, 'Internal server error');
          });
        });
      },
    },
    extra,
  );
  socket.on('close', (code, reason) => {
    closed(code, reason.toString()).catch((error: unknown) => {
      log.error({ err: error }, 'ending the operations of a socket failed');
    });
  });
}
