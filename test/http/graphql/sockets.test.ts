import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import {
  type GraphQLSockets,
  type SocketOptions,
  serveGraphQLSockets,
} from '../../../src/http/graphql/sockets.ts';
import { createHeldBytes } from '../../../src/http/limits/held-bytes.ts';
import type { RateLimiter } from '../../../src/http/limits/rate.ts';
import { createPeers } from '../../../src/http/peers.ts';
import type { RateAnswer } from '../../../src/rate.ts';
import { recordLog } from '../../support/log.ts';
import { listen } from '../../support/servers.ts';

const unreachable = () => expect.unreachable('No operation is sent');
const HOUR_MS = 3_600_000;
const LIMITS = {
  initMs: HOUR_MS,
  lifetimeMs: HOUR_MS,
  idleMs: HOUR_MS,
  slowMs: HOUR_MS,
  bufferBytes: 1_024,
  maxSockets: 100,
  perSocket: 1,
};

let server: Server;
let sockets: GraphQLSockets;
const clients: WebSocket[] = [];

beforeEach(() => {
  server = createServer();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.terminate();
  await sockets.stop();
  await new Promise(resolve => server.close(resolve));
});

/** Serves sockets that no operation is sent over; returns their URL. */
async function serve(options: Pick<SocketOptions, 'keepAliveMs'> & { rate?: RateLimiter }): Promise<string> {
  sockets = serveGraphQLSockets({
    server,
    operations: {
      resolve: unreachable,
      prepare: unreachable,
      run: unreachable,
      live: unreachable,
      reject: unreachable,
    },
    identity: { required: false, identify: unreachable },
    peers: createPeers(null),
    rate: null,
    heldBytes: createHeldBytes(1_024),
    checkOrigin: () => true,
    isOwnHost: () => true,
    limits: LIMITS,
    log: recordLog(),
    clientOf: unreachable,
    contextOf: unreachable,
    ...options,
  });
  return `ws://127.0.0.1:${await listen(server)}/graphql`;
}

function connect(url: string, options: { autoPong?: boolean } = {}): WebSocket {
  const client = new WebSocket(url, 'graphql-transport-ws', options);
  clients.push(client);
  return client;
}

describe('the heartbeat', () => {
  it('keeps sockets that answer pings, in every group, and terminates the others', async () => {
    const url = await serve({ keepAliveMs: 240 });
    const answering = Array.from({ length: 15 }, () => connect(url));
    const silent = connect(url, { autoPong: false });
    const pings = answering.map(() => 0);
    for (const [n, socket] of answering.entries()) socket.on('ping', () => (pings[n] = (pings[n] ?? 0) + 1));
    const [code] = await once(silent, 'close');
    expect(code).toBe(1006);
    await expect.poll(() => Math.min(...pings)).toBeGreaterThan(2);
    expect(answering.map(({ readyState }) => readyState)).toEqual(answering.map(() => WebSocket.OPEN));
  });
});

describe('stopping', () => {
  it('closes open sockets with 1001, and rejects an upgrade that is still checked', async () => {
    const answer: RateAnswer = { ok: true, limit: 1, remaining: 1, retryAfterMs: 0 };
    const checked = Promise.withResolvers<void>();
    const held = Promise.withResolvers<RateAnswer>();
    let taken = 0;
    const url = await serve({
      rate: {
        take() {
          taken += 1;
          if (taken === 1) return answer;
          checked.resolve();
          return held.promise;
        },
      },
    });
    const open = connect(url);
    await once(open, 'open');
    const closed = once(open, 'close');
    const late = connect(url);
    const outcome = new Promise<unknown>(resolve => {
      late.on('open', () => resolve('open'));
      late.on('error', ({ message }) => resolve(message));
    });
    await checked.promise;
    const stopped = sockets.stop();
    held.resolve(answer);
    expect(await outcome).toBe('Unexpected server response: 503');
    expect((await closed)[0]).toBe(1001);
    await stopped;
  });
});
