import { CloseCode, MessageType, parseMessage, type SubscribePayload } from 'graphql-ws';
import type { RawData } from 'ws';
import type { Log } from '../../log.ts';
import { headOf, SocketOperation } from './fanout.ts';
import type { Session } from './socket-session.ts';

/**
 * Characters. The payload of a ping is echoed in its pong, as graphql-ws does, unless the message is longer: one that is deeply
 * nested could be read, but not written.
 */
const LONGEST_ECHO = 1_024;
/** Bytes. A reason has to fit into a control frame with its code (RFC 6455, 5.5). */
const LONGEST_REASON = 123;

export interface ProtocolOptions {
  /** Called before each message; false: it is dropped, because the socket is closed. */
  readonly accept: (session: Session) => boolean;
  /** Identifies the caller by the payload of `connection_init`; false: it is forbidden. */
  readonly connect: (
    session: Session,
    payload: Readonly<Record<string, unknown>> | undefined,
  ) => Promise<boolean>;
  /** Runs an operation to its end, or until it is a subscription that runs. `characters`: of its message. */
  readonly run: (
    operation: SocketOperation,
    session: Session,
    payload: SubscribePayload,
    characters: number,
  ) => Promise<void>;
  readonly log: Log;
}

/** Handles the messages of clients. */
export interface Protocol {
  /** Never throws. */
  receive(session: Session, data: RawData): void;
}

/**
 * The server's side of graphql-transport-ws, by graphql-ws' PROTOCOL.md and with the close codes of its server. That one
 * keeps a suspended function, the message and several closures for each subscription that is open: twice what a connection
 * takes. Here a subscription is one object.
 */
export function createProtocol({ accept, connect, run, log }: ProtocolOptions): Protocol {
  async function initialise(
    session: Session,
    payload: Readonly<Record<string, unknown>> | undefined,
  ): Promise<void> {
    if (session.initialised)
      return close(session, CloseCode.TooManyInitialisationRequests, 'Too many initialisation requests');
    session.initialised = true;
    if (await connect(session, payload)) send(session, '{"type":"connection_ack"}');
    else close(session, CloseCode.Forbidden, 'Forbidden');
  }

  async function subscribe(
    session: Session,
    id: string,
    payload: SubscribePayload,
    characters: number,
  ): Promise<void> {
    if (session.client === null) return close(session, CloseCode.Unauthorized, 'Unauthorized');
    const head = headOf(id);
    if (session.find(head) !== null) {
      const reason = `Subscriber for ${id} already exists`;
      const fits = Buffer.byteLength(reason) <= LONGEST_REASON;
      return close(
        session,
        CloseCode.SubscriberAlreadyExists,
        fits ? reason : 'The id of the operation is in use',
      );
    }
    await run(new SocketOperation(session, head), session, payload, characters);
  }

  /** Begins at once. `async`, so that nothing can throw out of it: no caller of `receive` would catch that. */
  async function handle(session: Session, text: string): Promise<void> {
    let message: ReturnType<typeof parseMessage>;
    try {
      message = parseMessage(text);
    } catch {
      return close(session, CloseCode.BadRequest, 'Invalid message received');
    }
    switch (message.type) {
      case MessageType.ConnectionInit:
        return initialise(session, message.payload);
      case MessageType.Ping:
        return send(session, pongTo(message.payload, text.length));
      case MessageType.Pong:
        return;
      case MessageType.Subscribe:
        return subscribe(session, message.id, message.payload, text.length);
      case MessageType.Complete:
        return session.find(headOf(message.id))?.leave();
      case MessageType.ConnectionAck:
      case MessageType.Next:
      case MessageType.Error:
        // Messages of a server.
        return close(session, CloseCode.InternalServerError, 'Internal server error');
      default:
        return message satisfies never;
    }
  }

  return {
    receive(session, data) {
      if (!session.isOpen || !accept(session)) return;
      handle(session, data.toString()).catch((error: unknown) => {
        log.error({ err: error }, 'handling a socket message failed');
        close(session, CloseCode.InternalServerError, 'Internal server error');
      });
    },
  };
}

/** `characters`: of the ping. */
function pongTo(payload: unknown, characters: number): string {
  const echoed = payload !== undefined && characters <= LONGEST_ECHO;
  return JSON.stringify({ type: MessageType.Pong, ...(echoed ? { payload } : {}) });
}

/** A message that is lost with its socket is not an error: the close says so. */
function send({ isOpen, socket }: Session, text: string): void {
  if (isOpen) socket.send(text);
}

function close({ socket }: Session, code: number, reason: string): void {
  socket.close(code, reason);
}
