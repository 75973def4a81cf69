import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { createMailbox } from '../../concurrency/mailbox.ts';
import { bytesOf, type SharedResult, type Subscriber } from '../../operations/subscriptions.ts';

/** Where a socket's subscription writes its results. */
export interface SocketTarget {
  readonly socket: WebSocket;
  /** The connection below the socket, which must not compress: frames are written to it directly. */
  readonly transport: Duplex;
  /** The operation's id, chosen by the client. */
  readonly id: string;
}

const NOTHING = Buffer.alloc(0);

/**
 * Writes a subscription's results to a socket as `next` messages (graphql-ws' PROTOCOL.md). All subscribers share the bytes
 * of a result; only the start of the frame, which has the operation's id, is each one's own. The stream has no results: it
 * ends when the last one was handed to the connection, and graphql-ws then sends `complete`.
 *
 * A frame is one string if it can be: of all ways to hand it to a connection, one write of a string costs least, with no
 * buffer to allocate and no list of buffers for the system to gather.
 *
 * A class, because methods on a prototype take no memory for each of thousands of subscribers.
 */
class SocketSubscriber implements Subscriber {
  readonly stream;
  readonly #socket: WebSocket;
  readonly #transport: Duplex;
  /** The start of each message, as UTF-8 in a string of bytes: see `SharedResult`. */
  readonly #head: string;
  /** The newest result, while the connection's buffer is not empty. */
  #waiting: SharedResult['message'] | null = null;
  #ended = false;

  constructor(target: SocketTarget, leave: () => void) {
    this.#socket = target.socket;
    this.#transport = target.transport;
    this.#head = bytesOf(`{"id":${JSON.stringify(target.id)},"type":"next","payload":`);
    this.stream = createMailbox<never>(() => {
      this.#waiting = null;
      leave();
    }).stream;
  }

  /**
   * Writes directly while the connection's buffer is empty; otherwise keeps only the newest result until it drains. So at
   * most one result waits here and one in the connection.
   */
  offer({ message }: SharedResult): boolean {
    if (!this.#isOpen()) return false;
    const transport = this.#transport;
    if (this.#waiting !== null) {
      this.#waiting = message;
      return true;
    }
    if (transport.writableLength === 0) this.#write(message);
    else {
      this.#waiting = message;
      transport.write(NOTHING, () => this.#drained());
    }
    return false;
  }

  /** At once while the connection's buffer is empty. A connection that is gone takes no more. */
  whenReady(callback: () => void): void {
    if (!this.#isOpen()) return;
    if (this.#waiting === null && this.#transport.writableLength === 0) callback();
    else this.#transport.write(NOTHING, () => this.whenReady(callback));
  }

  end(): void {
    this.#ended = true;
    if (this.#waiting === null) this.#endStream();
  }

  /** The buffer is empty, or the connection is gone and its close ends the operation. */
  #drained(): void {
    if (this.#waiting !== null && this.#isOpen()) this.#write(this.#waiting);
    this.#waiting = null;
    if (this.#ended) this.#endStream();
  }

  #endStream(): void {
    // A mailbox's `return` settles at once and never rejects.
    void this.stream.return();
  }

  /** Nothing may be sent after the closing frame (RFC 6455, 5.5.1). */
  #isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  #write(rest: SharedResult['message']): void {
    const transport = this.#transport;
    const head = this.#head;
    const start = startTextFrame(head.length + rest.length);
    if (typeof rest === 'string') transport.write(start + head + rest, 'latin1');
    else {
      transport.cork();
      transport.write(start + head, 'latin1');
      transport.write(rest);
      transport.uncork();
    }
  }
}

/** Makes the subscriber of one operation on one socket; `leave` is called once, when it ends or the client leaves. */
export function socketSubscriber(target: SocketTarget, leave: () => void): Subscriber {
  return new SocketSubscriber(target, leave);
}

/** FIN and the opcode of a text (RFC 6455, 5.2). */
const TEXT = 0x81;
const LENGTH_IN_TWO_BYTES = 126;
const LENGTH_IN_EIGHT_BYTES = 127;

/** The start of an unmasked frame with a text of so many bytes, as servers send it (RFC 6455, 5.1 and 5.2); a string of bytes. */
function startTextFrame(length: number): string {
  if (length < LENGTH_IN_TWO_BYTES) return String.fromCharCode(TEXT, length);
  if (length < 0x1_00_00) return String.fromCharCode(TEXT, LENGTH_IN_TWO_BYTES, length >> 8, length & 0xff);
  const eight = Buffer.alloc(8);
  eight.writeBigUInt64BE(BigInt(length));
  return String.fromCharCode(TEXT, LENGTH_IN_EIGHT_BYTES, ...eight);
}
