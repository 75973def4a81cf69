import type { GraphQLFormattedError } from 'graphql';
import { bytesOf, type SharedResult } from '../../operations/live.ts';
import type { Seat } from '../../operations/seat.ts';
import type { Subscriber } from '../../operations/subscriptions.ts';
import type { InFlight, Session } from './socket-session.ts';

const NOTHING = Buffer.alloc(0);

/** The start of each message of an operation, as UTF-8 in a string of bytes; it has the id that the client chose. */
export function headOf(id: string): string {
  return bytesOf(`{"id":${JSON.stringify(id)}`);
}

/**
 * An operation in flight on a socket. Of a subscription it is the subscriber: it writes results as `next` messages
 * (graphql-ws' PROTOCOL.md), and `complete` when the last one was handed to the connection. All subscribers share the bytes
 * of a result; only the start of the message, which has the operation's id, is each one's own.
 *
 * A frame is one string if it can be: of all ways to hand it to a connection, one write of a string costs least, with no
 * buffer to allocate and no list of buffers for the system to gather.
 *
 * A class, because methods on a prototype take no memory for each of thousands of subscribers.
 */
export class SocketOperation implements Subscriber, InFlight {
  readonly head: string;
  readonly #session: Session;
  /** Null: it is no subscription, or none yet. */
  #seat: Seat | null = null;
  /** The newest result, while the connection's buffer is not empty. */
  #waiting: SharedResult['message'] | null = null;
  #ended = false;

  /** Adds itself to the session. */
  constructor(session: Session, head: string) {
    this.#session = session;
    this.head = head;
    session.add(this);
  }

  /** Makes it the subscriber of its subscription. It leaves at once if the client has not waited for that. */
  take(seat: Seat): this {
    this.#seat = seat;
    if (!this.#isWanted) this.leave();
    return this;
  }

  /**
   * Writes directly while the connection's buffer is empty; otherwise keeps only the newest result until it drains. So at
   * most one result waits here and one in the connection.
   */
  offer({ message }: SharedResult): boolean {
    const session = this.#session;
    if (!session.isOpen) return false;
    const transport = session.source;
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
    const { isOpen, isDrained, source } = this.#session;
    if (!isOpen) return;
    if (this.#waiting === null && isDrained) callback();
    else source.write(NOTHING, () => this.whenReady(callback));
  }

  end(): void {
    this.#ended = true;
    if (this.#waiting === null) this.complete();
  }

  /** Whether the client still waits for it: it has not completed it, and the socket is open. */
  get #isWanted(): boolean {
    return this.#session.isOpen && this.#session.has(this);
  }

  /** Sends a result, whatever waits in the connection's buffer. */
  next({ message }: SharedResult): void {
    if (this.#isWanted) this.#write(message);
  }

  /** Ends it with an `error` message: it was not executed. */
  fail(errors: readonly GraphQLFormattedError[]): void {
    if (this.#isWanted) this.#write(bytesOf(`,"type":"error","payload":${JSON.stringify(errors)}}`));
    this.leave();
  }

  /** Ends it with a `complete` message. */
  complete(): void {
    if (this.#isWanted) this.#write(',"type":"complete"}');
    this.leave();
  }

  /** Sends nothing more. */
  leave(): void {
    this.#waiting = null;
    this.#session.remove(this);
    this.#seat?.leave();
  }

  /** The buffer is empty, or the connection is gone and its close ends the operation. */
  #drained(): void {
    if (this.#waiting !== null && this.#session.isOpen) this.#write(this.#waiting);
    this.#waiting = null;
    if (this.#ended) this.complete();
  }

  #write(rest: SharedResult['message']): void {
    const session = this.#session;
    const head = this.head;
    const start = startTextFrame(head.length + rest.length);
    if (typeof rest === 'string') session.write(start + head + rest);
    else {
      session.flush();
      const transport = session.source;
      transport.cork();
      transport.write(start + head, 'latin1');
      transport.write(rest);
      transport.uncork();
    }
  }
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
