import { connect, createServer, type Socket } from 'node:net';

export interface Tap {
  /** The URL to use in place of the engine's. */
  readonly url: string;
  /** When the engine said first that this many steps are done, by `performance.now()`; of all runs since it was cleared. */
  readonly steps: Map<number, number>;
  stop(): Promise<void>;
}

/** Of each job that is measured. */
export const STEPS = 40;

/** What `progress_state` and `progress`, in this order, say of a sampler: only its `max` is STEPS. */
export const ENGINE_STEP = new RegExp(`"value":\\s*(\\d+),\\s*"max":\\s*${STEPS}\\b`);

/**
 * A TCP proxy before an engine that notes when its events pass. A server's frames are not masked (RFC 6455, 5.1), so their
 * text can be read in passing.
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
      const found = ENGINE_STEP.exec(chunk.toString('latin1'))?.[1];
      if (found !== undefined && !steps.has(Number(found))) steps.set(Number(found), at);
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
