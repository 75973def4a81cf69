import { createServer, type RequestListener } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { listen } from '../servers.ts';

/** What answers in the place of a gateway, as a test says. */
export interface StandIn {
  readonly url: string;
  stop(): Promise<void>;
}

/** Told of each message by which a client introduces itself on a WebSocket; `number` counts them from 1. */
export type Greeting = (socket: WebSocket, payload: unknown, number: number) => void;

/** Answers HTTP by `answer`, and `connection_init` of graphql-transport-ws by `greet`; without it no WebSocket opens. */
export async function startStandIn(answer: RequestListener, greet?: Greeting): Promise<StandIn> {
  const server = createServer(answer);
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'graphql-transport-ws' });
  let greeted = 0;
  server.on('upgrade', (request, socket, head) => {
    if (greet === undefined) {
      socket.destroy();
      return;
    }
    sockets.handleUpgrade(request, socket, head, ws => {
      ws.once('message', data => {
        greeted += 1;
        greet(ws, JSON.parse(data.toString()).payload, greeted);
      });
    });
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}

/** A snapshot with what a client looks at. */
export function snapshot(revision: number, status = 'PROCESSING'): object {
  return { id: 'job', revision, status, progress: revision, stage: null, images: [], error: null };
}

/** Answers a subscription over a WebSocket that was greeted. */
export function onSubscribe(socket: WebSocket, react: (send: (job: object) => void) => void): void {
  socket.on('message', data => {
    const { id, type } = JSON.parse(data.toString());
    if (type !== 'subscribe') return;
    react(jobProgress =>
      socket.send(JSON.stringify({ id, type: 'next', payload: { data: { jobProgress } } })),
    );
  });
  socket.send(JSON.stringify({ type: 'connection_ack' }));
}

/** One event of a subscription over HTTP. */
export function nextEvent(jobProgress: object): string {
  return `event: next\ndata: ${JSON.stringify({ data: { jobProgress } })}\n\n`;
}
