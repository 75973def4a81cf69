import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';

/** One request that a receiver got. */
export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly at: number;
}

/** A receiver of webhooks on loopback, at every address of it. */
export interface Receiver {
  readonly url: string;
  /** The same at 127.0.0.`n`, to whoever calls another host. */
  at(n: number): string;
  readonly received: readonly Received[];
  /** Resolves when so many requests came in all. */
  heard(count: number): Promise<readonly Received[]>;
  close(): Promise<void>;
}

/** How a receiver answers its n-th request (from 0); `silent`: not at all. */
export type Answering = (
  n: number,
  headers: IncomingHttpHeaders,
) => number | { status: number; headers: Record<string, string> } | 'silent';

/** Listens on a free port. */
export async function startReceiver(answer: Answering = () => 204): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const reply = answer(received.length, request.headers);
    received.push({ headers: request.headers, body, at: Date.now() });
    server.emit('heard');
    if (reply === 'silent') return;
    const { status, headers } = typeof reply === 'number' ? { status: reply, headers: {} } : reply;
    response.writeHead(status, headers).end();
  });
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}/hook`,
    at: n => `http://127.0.0.${n}:${address.port}/hook`,
    received,
    async heard(count) {
      while (received.length < count) await once(server, 'heard');
      return received.slice(0, count);
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
