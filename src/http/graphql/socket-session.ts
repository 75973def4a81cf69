import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Client } from '../client.ts';
import type { Counted, Held } from '../limits/held-bytes.ts';

/** The connection below a socket. It must not compress: frames are written to it directly. */
export type Transport = Duplex & Counted;

/** An operation in flight. */
export interface InFlight {
  /** The start of its messages, see `headOf`: no other in flight on the socket has the same. */
  readonly head: string;
  /** Ends it without a message. */
  leave(): void;
}

/** What is kept for each socket while it is open: one object, because there are thousands. */
export class Session implements Held {
  readonly socket: WebSocket;
  readonly source: Transport;
  /** The upgrade's request; null once the caller is identified, when everything is known that it says. */
  request: IncomingMessage | null;
  /** Whether `connection_init` has arrived. */
  initialised = false;
  /** Null before the caller is identified. */
  client: Client | null = null;

  /** What its bytes and requests are counted by; its address before the caller is identified. */
  key: string;
  /** See `Held`. */
  from: number;
  /** Milliseconds by the guard's clock: small integers, which take no memory of their own. */
  readonly since: number;
  busyAt: number;
  /** Since when the send buffer has not become smaller; null while it is empty. */
  waitingSince: number | null = null;
  waiting = 0;
  /** Milliseconds since 1970; null: never. */
  expiresAt: number | null = null;

  /** Which of the heartbeat's groups it is in, and whether it has not answered the last ping. */
  readonly group: number;
  unanswered = false;

  /** By the start of their messages; mostly there is one, which needs no `Map`. */
  #operation: InFlight | null = null;
  #others: Map<string, InFlight> | null = null;
  /** Frames that are written at the end of this turn. */
  #frames = '';

  constructor(
    socket: WebSocket,
    transport: Transport,
    request: IncomingMessage | null,
    { key, at, group }: { readonly key: string; readonly at: number; readonly group: number },
  ) {
    this.socket = socket;
    this.source = transport;
    this.request = request;
    this.key = key;
    this.from = transport.bytesRead ?? 0;
    this.since = at;
    this.busyAt = at;
    this.group = group;
  }

  /** Nothing may be sent after the closing frame (RFC 6455, 5.5.1). */
  get isOpen(): boolean {
    return this.socket.readyState === this.socket.OPEN;
  }

  get operations(): number {
    return (this.#operation === null ? 0 : 1) + (this.#others?.size ?? 0);
  }

  find(head: string): InFlight | null {
    return this.#operation?.head === head ? this.#operation : (this.#others?.get(head) ?? null);
  }

  add(operation: InFlight): void {
    if (this.#operation === null) this.#operation = operation;
    else {
      this.#others ??= new Map();
      this.#others.set(operation.head, operation);
    }
  }

  has(operation: InFlight): boolean {
    return this.find(operation.head) === operation;
  }

  remove(operation: InFlight): void {
    if (this.#operation === operation) this.#operation = null;
    else if (this.has(operation)) this.#others?.delete(operation.head);
  }

  /** Whether everything was handed to the system. */
  get isDrained(): boolean {
    return this.#frames === '' && this.source.writableLength === 0;
  }

  /**
   * Writes a frame, as a string of bytes. Where several operations are in flight, those of one turn are written together: a
   * page that watches several jobs over one socket costs one write of the system for what changes at once.
   */
  write(frame: string): void {
    if (this.operations < 2) {
      this.flush();
      this.source.write(frame, 'latin1');
      return;
    }
    if (this.#frames === '') process.nextTick(flush, this);
    this.#frames += frame;
  }

  /** Writes the frames that wait. None follows the closing frame. */
  flush(): void {
    if (this.#frames === '') return;
    const frames = this.#frames;
    this.#frames = '';
    if (this.isOpen) this.source.write(frames, 'latin1');
  }

  /** Ends what is in flight, when the socket is closed. */
  leaveAll(): void {
    const operations = [...(this.#others?.values() ?? [])];
    if (this.#operation !== null) operations.push(this.#operation);
    for (const operation of operations) operation.leave();
  }

  /** A socket holds memory for a message that is still arriving; whole messages are not counted. */
  end(): boolean {
    this.socket.terminate();
    return true;
  }
}

// Not a closure for each call.
function flush(session: Session): void {
  session.flush();
}
