import { CloseCode, MessageType, type Server, type WebSocket as ServerSocket } from 'graphql-ws';
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

/** A socket as graphql-ws uses it. A class, because closures for its methods would be held for each socket. */
class ProtocolSocket<Extra> implements ServerSocket {
  readonly #conversation: Conversation<Extra>;

  constructor(conversation: Conversation<Extra>) {
    this.#conversation = conversation;
  }

  get protocol(): string {
    return this.#conversation.socket.protocol;
  }

  send(text: string): Promise<void> {
    // A message that is lost with its socket is not an error: the close says so.
    return new Promise(resolve => {
      this.#conversation.socket.send(text, () => resolve());
    });
  }

  close(code?: number, reason?: string): void {
    this.#conversation.socket.close(code, reason);
  }

  onPing(payload?: unknown): Promise<void> {
    const echo = JSON.stringify(payload);
    const fits = payload !== undefined && echo.length <= LONGEST_ECHO;
    return this.send(JSON.stringify({ type: MessageType.Pong, ...(fits ? { payload } : {}) }));
  }

  onMessage(handle: (text: string) => Promise<void>): void {
    const { socket, extra, accept, log } = this.#conversation;
    socket.on('message', data => {
      const text = data.toString();
      if (!accept(extra, text.length)) return;
      handle(text).catch((error: unknown) => {
        log.error({ err: error }, 'handling a socket message failed');
        socket.close(CloseCode.InternalServerError, 'Internal server error');
      });
    });
  }
}

/**
 * Connects graphql-ws to a socket. The adapter for `ws` that comes with graphql-ws would hold the upgrade's request and a
 * timer for as long as each socket is open; here `startHeartbeat` keeps sockets alive.
 */
export function speakOver<Extra>(conversation: Conversation<Extra>): void {
  const { protocol, socket, extra, log } = conversation;
  const closed = protocol.opened(new ProtocolSocket(conversation), extra);
  socket.on('close', (code, reason) => {
    closed(code, reason.toString()).catch((error: unknown) => {
      log.error({ err: error }, 'ending the operations of a socket failed');
    });
  });
}
