import { randomUUID } from 'node:crypto';
import { type WebSocket, WebSocketServer } from 'ws';
import { snapshotOf } from './snapshot.ts';
import { obeyTicks } from './ticks.ts';

/**
 * The peer: `ws` and nothing else. At each tick all sockets are sent a text as long as ours: with `--distinct` each its
 * own, made into JSON for it, otherwise all the same.
 */
const distinct = process.argv.includes('--distinct');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
const watched = new WeakMap<WebSocket, Watched>();
if (distinct) server.on('connection', socket => watched.set(socket, something()));
server.on('listening', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(`ws://127.0.0.1:${address.port}`);
});

interface Watched {
  readonly operation: string;
  readonly job: string;
}

function something(): Watched {
  return { operation: newId(), job: newId() };
}

/** Node puts a UUID together from parts that stay apart, which takes 480 bytes: here it is one string. */
function newId(): string {
  return Buffer.from(randomUUID()).toString();
}

function textOf({ operation, job }: Watched, step: number, steps: number): string {
  const data = { jobProgress: snapshotOf(job, step, steps) };
  return JSON.stringify({ id: operation, type: 'next', payload: { data } });
}

const one = something();
obeyTicks((n, { times }) => {
  const text = textOf(one, n, times);
  for (const client of server.clients) {
    client.send(distinct ? textOf(watched.get(client) ?? one, n, times) : text);
  }
});
