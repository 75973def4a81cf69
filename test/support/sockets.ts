import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { WebSocket } from 'ws';
import { z } from 'zod';

/** Keys of three callers, and what API_KEYS says of them. */
export const KEYS = { alice: 'key-of-alice', bob: 'key-of-bob', olga: 'key-of-olga' };
export const API_KEYS = Object.entries(KEYS)
  .map(([name, key]) => `${name}:sha256$${sha256(key)}${name === 'olga' ? ':operator' : ''}`)
  .join('\n');

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The headers with which somebody comes; null: nobody. */
export function as(key: string | null): Record<string, string> {
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

const answer = z.object({
  data: z.record(z.string(), z.unknown()).nullish(),
  errors: z
    .array(
      z.object({
        message: z.string(),
        extensions: z.looseObject({ code: z.string().optional() }).optional(),
      }),
    )
    .optional(),
});

export type GraphQLAnswer = z.output<typeof answer> & { status: number; headers: Headers };

/** Asks over HTTP. */
export async function askGraphQL(
  url: string,
  query: string,
  variables: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<GraphQLAnswer> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return { ...answer.parse(await response.json()), status: response.status, headers: response.headers };
}

const message = z.looseObject({
  type: z.string(),
  id: z.string().optional(),
  payload: z.unknown().optional(),
});

export type Message = z.output<typeof message>;

/** A socket that speaks graphql-transport-ws by hand. */
export interface RawSocket {
  readonly socket: WebSocket;
  /** Resolves with code and reason when it is closed. */
  readonly closed: Promise<{ code: number; reason: string }>;
  send(message: object): void;
  /** The next message of this type, those before it passed over. */
  next(type: string, id?: string): Promise<Message>;
  /** The next message about this operation, of any type. */
  of(id: string): Promise<Message>;
  /** Result of one operation: `next` or `error`. */
  run(payload: object, id?: string): Promise<Message>;
}

/** Opens a socket; `init` is the payload of `connection_init`, null sends none. */
export async function openSocket(
  url: string,
  init: Record<string, unknown> | null = {},
  headers: Record<string, string> = {},
): Promise<RawSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers });
  const inbox: Message[] = [];
  const waiting: { wants: (message: Message) => boolean; resolve: (message: Message) => void }[] = [];
  socket.on('message', data => {
    const received = message.parse(JSON.parse(data.toString()));
    const index = waiting.findIndex(({ wants }) => wants(received));
    if (index < 0) inbox.push(received);
    else waiting.splice(index, 1)[0]?.resolve(received);
  });
  const closed = new Promise<{ code: number; reason: string }>(resolve => {
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', () => resolve());
    socket.once('error', reject);
  });
  const take = (wants: (message: Message) => boolean): Promise<Message> => {
    const index = inbox.findIndex(wants);
    const [found] = index < 0 ? [] : inbox.splice(index, 1);
    return found === undefined
      ? new Promise(resolve => waiting.push({ wants, resolve }))
      : Promise.resolve(found);
  };
  let count = 0;
  const raw: RawSocket = {
    socket,
    closed,
    send: given => socket.send(JSON.stringify(given)),
    next: (type, id) => take(received => received.type === type && (id === undefined || received.id === id)),
    of: id => take(received => received.id === id),
    run(payload, id = `run-${++count}`) {
      raw.send({ id, type: 'subscribe', payload });
      return take(received => received.id === id && (received.type === 'next' || received.type === 'error'));
    },
  };
  if (init !== null) {
    raw.send({ type: 'connection_init', payload: init });
    await Promise.race([raw.next('connection_ack'), closed]);
  }
  return raw;
}

const faults = z.array(
  z.object({ message: z.string(), extensions: z.looseObject({ code: z.string() }).optional() }),
);

/** The codes of an operation's errors over a socket, whichever way they were told. */
export function codesOf({ type, payload }: Message): (string | undefined)[] {
  const errors = type === 'error' ? payload : z.object({ errors: z.unknown() }).parse(payload).errors;
  return faults.parse(errors).map(({ extensions }) => extensions?.code);
}

/** A stream of server-sent events that is read by hand. */
export interface RawEvents {
  readonly status: number;
  /** What the next event that says something says, as JSON; null when the stream is over, however it ended. */
  next(): Promise<unknown>;
  leave(): void;
}

/** Opens a stream: by GET, or by POST where there is a body. No header is sent that is not given. */
export async function openEvents(
  url: string,
  headers: Record<string, string>,
  body?: object,
): Promise<RawEvents> {
  const sending = request(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
  });
  // What is cut is told by the end of the stream.
  sending.on('error', () => {});
  sending.end(body === undefined ? '' : JSON.stringify(body));
  const [response]: IncomingMessage[] = await once(sending, 'response');
  if (response === undefined) throw new Error('no answer');
  const events = eventsOf(response);
  return {
    status: response.statusCode ?? 0,
    next: async () => (await events.next()).value ?? null,
    leave: () => sending.destroy(),
  };
}

async function* eventsOf(response: IncomingMessage): AsyncGenerator<unknown, void> {
  let rest = '';
  try {
    for await (const text of response.setEncoding('utf8')) {
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const data = /^data: (.+)$/m.exec(block)?.[1];
        if (data !== undefined) yield JSON.parse(data);
      }
    }
  } catch {
    // It was cut.
  }
}
