import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { openEngineSocket } from '../../src/comfyui/socket.ts';
import { listen } from '../support/servers.ts';

const EVENTS = [
  { type: 'execution_start', data: { prompt_id: 'p' } },
  { type: 'executing', data: { node: '3', prompt_id: 'p' } },
  { type: 'execution_success', data: { prompt_id: 'p' } },
];

describe('the socket of an engine', () => {
  it('hands on what the first of several events causes before the others, and all of them before the end', async () => {
    const engine = await startEngine();
    const heard: string[] = [];
    const ended = Promise.withResolvers<void>();
    await openEngineSocket({
      url: engine.url,
      headers: {},
      tls: {},
      answersFlags: false,
      onEvent({ type }) {
        heard.push(type);
        Promise.resolve().then(
          () => heard.push(`caused by ${type}`),
          () => undefined,
        );
      },
      onClose() {
        heard.push('end');
        ended.resolve();
      },
    });
    const { socket, connection } = await engine.connected;
    connection.cork();
    for (const event of EVENTS) socket.send(JSON.stringify(event));
    connection.uncork();
    connection.end();
    await ended.promise;
    expect(heard.slice(0, 3)).toEqual(['started', 'caused by started', 'executing']);
    expect(heard.filter(entry => !entry.startsWith('caused'))).toEqual([
      'started',
      'executing',
      'succeeded',
      'end',
    ]);
  });
});

interface Connected {
  readonly socket: WebSocket;
  /** Below the socket. */
  readonly connection: Duplex;
}

/** Takes one connection, and closes it at the end of the test. */
async function startEngine(): Promise<{ readonly url: string; readonly connected: Promise<Connected> }> {
  const server = createServer();
  const sockets = new WebSocketServer({ noServer: true });
  const connected = new Promise<Connected>(resolve => {
    server.once('upgrade', (request, connection, head) => {
      sockets.handleUpgrade(request, connection, head, socket => resolve({ socket, connection }));
    });
  });
  const port = await listen(server);
  onTestFinished(() => {
    for (const socket of sockets.clients) socket.terminate();
    return new Promise<void>(resolve => server.close(() => resolve()));
  });
  return { url: `ws://127.0.0.1:${port}`, connected };
}
