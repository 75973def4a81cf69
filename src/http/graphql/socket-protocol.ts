import { CloseCode, MessageType, type Server } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { Log } from '../../log.ts';

/** What a `ping` brings is sent back with its `pong`, as graphql-ws does it, up to so many characters. */
const LONGEST_ECHO = 1_024;

export interface Conversation<Extra> {
  readonly protocol: Server<Extra>;
  readonly socket: WebSocket;
  readonly extra: Extra;
  /** Asked of each message as it comes, so many characters long; false: it is passed over. */
  readonly mayAsk: (extra: Extra, characters: number) => boolean;
  readonly log: Log;
}

/**
 * Lets graphql-ws speak over a socket. Its own adapter for `ws` would hold the request of the upgrade and a timer for
 * each socket for as long as it is open; sockets are kept alive by `startHeartbeat`.
 */
export function speakOver<Extra>({ protocol, socket, extra, mayAsk, log }: Conversation<Extra>): void {
  const send = (text: string): Promise<void> =>
    // What was on its way when a socket went is nobody's fault: its close tells.
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
          if (!mayAsk(extra, text.length)) return;
          handle(text).catch((error: unknown) => {
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
