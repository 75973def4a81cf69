import { createServer as createHttpServer, type IncomingHttpHeaders, request as send } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { listen } from './servers.ts';

/** A TCP proxy whose connections a test can cut. */
export interface CutProxy {
  readonly url: string;
  /** Connections that were made through it. */
  readonly made: number;
  /** Those among them that asked for a WebSocket. */
  readonly upgraded: number;
  /** Results that came over WebSockets. */
  readonly results: number;
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
  let results = 0;

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
    gateway.on('data', (bytes: Buffer) => {
      if (bytes.includes('"type":"next"')) results += 1;
    });
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
    get results() {
      return results;
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

/** One thing that went through. */
export interface Passed {
  readonly kind: 'http' | 'websocket';
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
  /** The body of a request that was sent as JSON, once it has gone through. */
  body?: string;
  /** The first message of the client on a WebSocket. */
  readonly firstMessage?: string;
}

export interface RecordingProxy {
  readonly url: string;
  readonly passed: readonly Passed[];
  stop(): Promise<void>;
}

/** Passes everything on to `target` and remembers who came how. An answer waits until `hold` resolves for its path. */
export async function startRecordingProxy(
  target: string,
  hold: (path: string) => Promise<void> = async () => undefined,
): Promise<RecordingProxy> {
  const { hostname, port } = new URL(target);
  const passed: Passed[] = [];
  const server = createHttpServer((request, response) => {
    const { method, url: path = '', headers } = request;
    const entry: Passed = { kind: 'http', headers, path };
    passed.push(entry);
    if (headers['content-type']?.includes('json') === true) {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.once('end', () => {
        entry.body = Buffer.concat(chunks).toString();
      });
    }
    const onward = send({ hostname, port, method, path, headers }, answer => {
      void hold(path).then(() => {
        response.writeHead(answer.statusCode ?? 502, passedOn(answer.headers));
        answer.pipe(response);
      });
    });
    onward.once('error', () => response.destroy());
    response.once('close', () => onward.destroy());
    request.pipe(onward);
  });
  server.on('upgrade', (request, socket, head) => {
    const onward = connect(Number(port), hostname, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let i = 0; i < request.rawHeaders.length; i += 2) {
        lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      }
      onward.write(`${lines.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    socket.once('data', (frame: Buffer) => {
      passed.push({
        kind: 'websocket',
        headers: request.headers,
        path: request.url ?? '',
        firstMessage: textOf(frame),
      });
    });
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      one.once('error', () => other.destroy());
      one.once('close', () => other.destroy());
    }
  });
  const own = await listen(server);
  return {
    url: `http://127.0.0.1:${own}`,
    passed,
    async stop() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}

/** The text of a short masked frame (RFC 6455, 5.2). */
function textOf(frame: Buffer): string {
  const short = (frame[1] ?? 0) & 0x7f;
  const extended = short === 126 ? 2 : 0;
  const length = extended === 0 ? short : frame.readUInt16BE(2);
  const mask = frame.subarray(2 + extended, 6 + extended);
  const body = frame.subarray(6 + extended, 6 + extended + length);
  return Buffer.from(body.map((byte, index) => byte ^ (mask[index % 4] ?? 0))).toString();
}

/**
 * The headers of a response that a proxy passes on: without those about the connection to the server (RFC 9110, section 7.6.1).
 * A client that gets its `Keep-Alive` reuses connections that the proxy is about to close.
 */
export function passedOn({
  connection: _,
  'keep-alive': __,
  ...headers
}: IncomingHttpHeaders): IncomingHttpHeaders {
  return headers;
}
