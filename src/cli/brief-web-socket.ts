import { WebSocket } from 'ws';

const BRIEF = { handshakeTimeout: 5_000, closeTimeout: 1_000 };

/**
 * A WebSocket that waits a second for a goodbye. Node's own waits until the system gives the connection up, which is a
 * quarter of an hour where the network dropped it without a word, and keeps the command that long.
 */
export class BriefWebSocket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols, BRIEF);
  }
}
