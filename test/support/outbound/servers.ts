import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { createImageLoader, type ImageLoader, type ImageLoaderOptions } from '../../../src/images/loader.ts';
import { parseAllowList } from '../../../src/outbound/allow-list.ts';
import { listen as bind } from '../listen.ts';

/** Starts a server of the running test on a free port of 127.0.0.1; it ends with the test. Returns the port. */
export async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const port = await bind(server);
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>(resolve => server.close(() => resolve()));
  });
  return port;
}

/** An HTTP server of the running test; returns its base URL without a slash at the end. */
export async function serve(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(createServer(listener))}`;
}

/** A TCP server of the running test that may speak as it likes; returns its port. */
export async function serveTcp(listener: (socket: Socket) => void): Promise<number> {
  return await listen(
    createTcpServer(socket => {
      // A client that hangs up on a rude server is what these tests want.
      socket.on('error', () => socket.destroy());
      listener(socket);
    }),
  );
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createTcpServer();
  const port = await bind(server);
  await new Promise<void>(resolve => server.close(() => resolve()));
  return port;
}

/** A loader of the running test. The test servers are on loopback, so FETCH_ALLOW opens 127.0.0.1 unless told otherwise. */
export function loader(options: Partial<ImageLoaderOptions> = {}): ImageLoader {
  const made = createImageLoader({
    allow: parseAllowList('127.0.0.1'),
    maxBytes: 200_000,
    maxPixels: 1_000_000,
    totalTimeoutMs: 5_000,
    ...options,
  });
  onTestFinished(() => made.close());
  return made;
}

/** A promise and the function that keeps it. */
export function signalled(): { happened: Promise<void>; tell: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { happened: promise, tell: () => resolve() };
}
