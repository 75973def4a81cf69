import { WebSocket } from 'ws';

/** A message of the graphql-transport-ws protocol, as it came. */
export interface Message {
  readonly type: string;
  readonly id?: string;
  readonly payload?: unknown;
}

/** A socket that says exactly what a test tells it to: no client that keeps the protocol in our stead. */
export interface RawSocket {
  readonly protocol: string;
  send(message: object | string): void;
  /** The next message that fits; those before it are passed over. Rejects when the socket closes first. */
  next(wanted?: (message: Message) => boolean): Promise<Message>;
  /** Resolves when the other side has closed it. */
  readonly closed: Promise<{ code: number; reason: string }>;
  close(): void;
}

/** Opens a socket with these sub-protocols. Resolves when it is open, or was refused by the handshake's answer. */
export async function openRawSocket(
  url: string,
  protocols: readonly string[] = ['graphql-transport-ws'],
): Promise<RawSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, [...protocols]);
  const inbox: Message[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const look of waiting) look();
  };
  let end: { code: number; reason: string } | null = null;
  socket.on('message', data => {
    inbox.push(JSON.parse(String(data)));
    wake();
  });
  const closed = new Promise<{ code: number; reason: string }>(resolve => {
    socket.on('close', (code, reason) => {
      end = { code, reason: reason.toString() };
      resolve(end);
      wake();
    });
  });
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  return {
    protocol: socket.protocol,
    send: message => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    next(wanted = () => true) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          while (inbox.length > 0) {
            const message = inbox.shift();
            if (message === undefined || !wanted(message)) continue;
            waiting.delete(look);
            resolve(message);
            return;
          }
          if (end === null) return;
          waiting.delete(look);
          reject(new Error(`closed with ${end.code} ${end.reason}`));
        };
        waiting.add(look);
        look();
      });
    },
    closed,
    close: () => socket.close(),
  };
}

/** Opens a socket and is let in. */
export async function openAcknowledged(url: string): Promise<RawSocket> {
  const socket = await openRawSocket(url);
  socket.send({ type: 'connection_init' });
  const answer = await socket.next();
  if (answer.type !== 'connection_ack') throw new Error(`got ${answer.type}`);
  return socket;
}
