import { connect, createServer, type Socket } from 'node:net';
import { listen } from './listen.ts';

/** A TCP proxy that can lose what it carries without a word. */
export interface SilentProxy {
  readonly url: string;
  /** Connections that were made through it. */
  readonly made: number;
  /** From now on every connection that there is carries nothing, and stays open. New ones carry all. */
  silence(): void;
  stop(): Promise<void>;
}

/** Passes bytes on to `target`, an `http://host:port`; with `swallow`, requests for a WebSocket go nowhere. */
export async function startSilentProxy(target: string, { swallow = false } = {}): Promise<SilentProxy> {
  const { hostname, port } = new URL(target);
  const pairs = new Map<Socket, Socket>();
  const silent = new WeakSet<Socket>();
  let made = 0;
  const server = createServer(client => {
    made += 1;
    const gateway = connect(Number(port), hostname);
    pairs.set(client, gateway);
    const end = (): void => {
      pairs.delete(client);
      client.destroy();
      gateway.destroy();
    };
    client.once('error', end).once('close', end);
    for (const event of ['error', 'close']) {
      gateway.once(event, () => {
        // That the other side gave up is a word as well.
        if (!silent.has(client)) end();
      });
    }
    client.on('data', (bytes: Buffer) => {
      if (swallow && /^upgrade: websocket\r$/im.test(bytes.toString('latin1'))) silent.add(client);
      if (!silent.has(client)) gateway.write(bytes);
    });
    gateway.on('data', (bytes: Buffer) => {
      if (!silent.has(client)) client.write(bytes);
    });
  });
  const own = await listen(server);
  return {
    url: `http://127.0.0.1:${own}`,
    get made() {
      return made;
    },
    silence() {
      for (const client of pairs.keys()) silent.add(client);
    },
    async stop() {
      for (const client of pairs.keys()) client.destroy();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
