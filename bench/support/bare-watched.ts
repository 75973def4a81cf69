import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { type WebSocket, WebSocketServer } from 'ws';

/**
 * In the place of the gateway that has the watchers, without its work: answers each subscription with what `bare-runner.ts` publishes
 * until its end, in messages of graphql-ws that are as long as the gateway's. Prints its URL when it listens.
 */
const { values } = parseArgs({
  options: { redis: { type: 'string', default: '' }, channel: { type: 'string', default: '' } },
});
const redis = new Redis(values.redis);
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
/** The subscription of each socket, by the id that its client chose. */
const watching = new Map<WebSocket, string>();

server.on('connection', socket => {
  socket.on('message', (bytes: Buffer) => {
    const { type, id }: { type: string; id?: string } = JSON.parse(bytes.toString());
    if (type === 'connection_init') socket.send(JSON.stringify({ type: 'connection_ack' }));
    else if (type === 'subscribe' && id !== undefined) watching.set(socket, id);
  });
  socket.on('close', () => watching.delete(socket));
});
redis.on('message', (_channel, text) => {
  const { step }: { step: number | null } = JSON.parse(text);
  for (const [socket, id] of watching) {
    if (step === null) {
      watching.delete(socket);
      socket.send(JSON.stringify({ id, type: 'complete' }));
    } else {
      socket.send(JSON.stringify({ id, type: 'next', payload: { data: { jobProgress: { step } } } }));
    }
  }
});
await redis.subscribe(values.channel);
const address = server.address();
if (typeof address === 'object' && address !== null) console.log(`http://127.0.0.1:${address.port}`);
