import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { HEARTBEAT_GROUPS, startHeartbeat } from '../../../src/http/graphql/socket-guard.ts';
import type { Session } from '../../../src/http/graphql/socket-session.ts';

let sockets: WebSocketServer;
let stopHeartbeat: () => void;

async function serve(everyMs: number): Promise<string> {
  const sessions: Pick<Session, 'socket' | 'group' | 'unanswered'>[] = [];
  stopHeartbeat = startHeartbeat(() => sessions, everyMs);
  sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  sockets.on('connection', socket => {
    const session = { socket, group: sessions.length % HEARTBEAT_GROUPS, unanswered: false };
    sessions.push(session);
    socket.on('pong', () => {
      session.unanswered = false;
    });
  });
  await once(sockets, 'listening');
  const address = sockets.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return `ws://127.0.0.1:${address.port}`;
}

afterEach(() => {
  stopHeartbeat();
  for (const client of sockets.clients) client.terminate();
  sockets.close();
});

describe('the heartbeat', () => {
  it('keeps sockets that answer pings, in every group, and terminates the others', async () => {
    const url = await serve(240);
    const answering = Array.from({ length: 15 }, () => new WebSocket(url));
    const silent = new WebSocket(url, { autoPong: false });
    const pings = answering.map(() => 0);
    for (const [n, socket] of answering.entries()) socket.on('ping', () => (pings[n] = (pings[n] ?? 0) + 1));
    const [code] = await once(silent, 'close');
    expect(code).toBe(1006);
    await expect.poll(() => Math.min(...pings)).toBeGreaterThan(2);
    expect(answering.map(({ readyState }) => readyState)).toEqual(answering.map(() => WebSocket.OPEN));
    for (const socket of answering) socket.terminate();
  });
});
