import { connect, createServer, type Socket } from 'node:net';

export interface Tap {
  /** The URL to use in place of the engine's. */
  readonly url: string;
  /** When the engine said that this many steps are done, by `performance.now()`; the newest run only. */
  readonly steps: Map<number, number>;
  stop(): Promise<void>;
}

/**
 * A TCP proxy before an engine that notes when its `progress` events pass. A server's frames are not masked (RFC 6455,
 * 5.1), so their text can be read in passing.
 */
export async function tapEngine(engineUrl: string): Promise<Tap> {
  const target = new URL(engineUrl);
  const steps = new Map<number, number>();
  const sockets = new Set<Socket>();
  const server = createServer(client => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
    }
    client.pipe(upstream);
    upstream.on('data', chunk => {
      const at = performance.now();
      for (const match of chunk
        .toString('latin1')
        .matchAll(/"type":\s*"progress",\s*"data":\s*\{"value":\s*(\d+)/g)) {
        steps.set(Number(match[1]), at);
      }
      client.write(chunk);
    });
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    steps,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
