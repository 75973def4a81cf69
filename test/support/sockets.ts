import { WebSocket } from 'ws';
import { z } from 'zod';

const messageSchema = z.looseObject({
  type: z.string(),
  id: z.string().optional(),
  payload: z.unknown().optional(),
});

/** A message of graphql-transport-ws, as it was received. */
export type Message = z.output<typeof messageSchema>;

/** A socket that sends exactly what a test wants: no client keeps the protocol for it. */
export interface RawSocket {
  readonly socket: WebSocket;
  /** Resolves with code and reason when the socket is closed. */
  readonly closed: Promise<{ code: number; reason: string }>;
  send(message: object | string): void;
  /** The next message in order; with `wanted` those before the first that fits are dropped. */
  next(wanted?: (message: Message) => boolean): Promise<Message>;
  /** The next message of this type, and of this operation if one is given. Others stay for later calls. */
  receive(type: string, id?: string): Promise<Message>;
  /** The next message of this operation, of any type. */
  of(id: string): Promise<Message>;
  /** Subscribes an operation and gives its first `next` or `error`. */
  run(payload: object, id?: string): Promise<Message>;
}

interface Waiting {
  readonly wants: (message: Message) => boolean;
  readonly drops: boolean;
  resolve(message: Message): void;
  reject(error: Error): void;
}

/** Opens a socket with these subprotocols and headers, and sends nothing. Calls that wait reject when it closes. */
export async function openRawSocket(
  url: string,
  {
    protocols = ['graphql-transport-ws'],
    headers = {},
  }: { protocols?: string[]; headers?: Record<string, string> } = {},
): Promise<RawSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, protocols, { headers });
  const inbox: Message[] = [];
  const waiting: Waiting[] = [];
  let end: { code: number; reason: string } | null = null;
  socket.on('message', data => {
    const received = messageSchema.parse(JSON.parse(String(data)));
    const index = waiting.findIndex(({ wants }) => wants(received));
    if (index >= 0) waiting.splice(index, 1)[0]?.resolve(received);
    else if (!waiting.some(({ drops }) => drops)) inbox.push(received);
  });
  const failure = (): Error => new Error(`closed with ${end?.code} ${end?.reason}`);
  const closed = new Promise<{ code: number; reason: string }>(resolve => {
    socket.once('close', (code, reason) => {
      end = { code, reason: reason.toString() };
      resolve(end);
      for (const { reject } of waiting.splice(0)) reject(failure());
    });
  });
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });

  function take(wants: (message: Message) => boolean, drops = false): Promise<Message> {
    const index = inbox.findIndex(wants);
    const passed = index < 0 ? inbox.length : index;
    const [found] = index < 0 ? [] : inbox.splice(index, 1);
    if (drops) inbox.splice(0, passed);
    if (found !== undefined) return Promise.resolve(found);
    if (end !== null) return Promise.reject(failure());
    return new Promise((resolve, reject) => waiting.push({ wants, drops, resolve, reject }));
  }

  const send = (message: object | string): void =>
    socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  let count = 0;
  return {
    socket,
    closed,
    send,
    next: (wanted = () => true) => take(wanted, true),
    receive: (type, id) => take(message => message.type === type && (id === undefined || message.id === id)),
    of: id => take(message => message.id === id),
    run(payload, id = `run-${++count}`) {
      send({ id, type: 'subscribe', payload });
      return take(message => message.id === id && (message.type === 'next' || message.type === 'error'));
    },
  };
}

/** Opens a socket and sends `init` as the payload of `connection_init`. Resolves when it is acknowledged, or closed. */
export async function openSocket(
  url: string,
  init: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<RawSocket> {
  const socket = await openRawSocket(url, { headers });
  socket.send({ type: 'connection_init', payload: init });
  await Promise.race([socket.closed, socket.receive('connection_ack')]);
  return socket;
}

const errorsSchema = z.array(
  z.object({ message: z.string(), extensions: z.looseObject({ code: z.string() }).optional() }),
);

/** The error codes of an operation's message, whether its type is `error` or `next`. */
export function codesOf({ type, payload }: Message): (string | undefined)[] {
  const errors = type === 'error' ? payload : z.object({ errors: z.unknown() }).parse(payload).errors;
  return errorsSchema.parse(errors).map(({ extensions }) => extensions?.code);
}
