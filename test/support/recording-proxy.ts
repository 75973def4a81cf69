import { createServer, type IncomingHttpHeaders, request as send } from 'node:http';
import { connect } from 'node:net';
import { listen } from './listen.ts';

/** One thing that went through. */
export interface Passed {
  readonly kind: 'http' | 'websocket';
  readonly headers: IncomingHttpHeaders;
  /** The first message of the client on a WebSocket. */
  readonly firstMessage?: string;
}

export interface RecordingProxy {
  readonly url: string;
  readonly passed: readonly Passed[];
  stop(): Promise<void>;
}

/** Passes everything on to `target` and remembers who came how. */
export async function startRecordingProxy(target: string): Promise<RecordingProxy> {
  const { hostname, port } = new URL(target);
  const passed: Passed[] = [];
  const server = createServer((request, response) => {
    passed.push({ kind: 'http', headers: request.headers });
    const { method, url: path, headers } = request;
    const onward = send({ hostname, port, method, path, headers }, answer => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
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
      passed.push({ kind: 'websocket', headers: request.headers, firstMessage: textOf(frame) });
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
