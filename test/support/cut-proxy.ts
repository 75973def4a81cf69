import { connect, createServer, type Socket } from 'node:net';
import { listen } from './listen.ts';

/** A TCP proxy whose connections a test can cut. */
export interface CutProxy {
  readonly url: string;
  /** Connections that were made through it. */
  readonly made: number;
  /** WebSockets among them. */
  readonly upgraded: number;
  /** Resets every connection now, half way through whatever it carries. */
  cut(): void;
  /** From now on: `all` goes through, `nothing`, or everything but WebSockets. Cuts nothing. */
  let(through: 'all' | 'nothing' | 'http'): void;
  stop(): Promise<void>;
}

/** Passes bytes on to `target`, an `http://host:port`. */
export async function startCutProxy(target: string): Promise<CutProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let through: 'all' | 'nothing' | 'http' = 'all';
  let made = 0;
  let upgraded = 0;

  function pair(client: Socket): void {
    made += 1;
    if (through === 'nothing') {
      client.resetAndDestroy();
      return;
    }
    const gateway = connect(Number(port), hostname);
    for (const [one, other] of [
      [client, gateway],
      [gateway, client],
    ] as const) {
      sockets.add(one);
      one.once('error', () => other.destroy());
      one.once('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    client.on('data', (bytes: Buffer) => {
      if (/^upgrade: websocket\r$/im.test(bytes.toString('latin1'))) {
        upgraded += 1;
        if (through === 'http') {
          client.resetAndDestroy();
          return;
        }
      }
      if (!gateway.write(bytes)) {
        client.pause();
        gateway.once('drain', () => client.resume());
      }
    });
    client.once('end', () => gateway.end());
    gateway.pipe(client);
  }

  const server = createServer(pair);
  const own = await listen(server);
  return {
    url: `http://127.0.0.1:${own}`,
    get made() {
      return made;
    },
    get upgraded() {
      return upgraded;
    },
    cut() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    let(what) {
      through = what;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
