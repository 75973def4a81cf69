import { createServer, type IncomingMessage, request as send } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Certified } from '../outbound/certificate.ts';
import { passedOn } from '../proxies.ts';
import { listen } from '../servers.ts';

/** What a guard demands. */
export interface GuardOptions {
  /** Headers that a request needs, lower case, with their values. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Speaks TLS with this certificate. */
  readonly tls?: Certified;
  /** The authority whose certificates clients need. As Nginx, it answers 400 to the others. */
  readonly clientsOf?: string;
}

/** A proxy in front of an engine that lets requests and WebSockets through only with credentials. */
export interface Guard {
  readonly url: string;
  /** Those that it let through. */
  readonly requests: number;
  readonly upgrades: number;
  /** Paths of those that it did not let through. */
  readonly rejected: readonly string[];
  stop(): Promise<void>;
}

/** Starts a guard on a free port in front of `target`, an `http://host:port`. */
export async function startGuard(target: string, options: GuardOptions): Promise<Guard> {
  const { hostname, port } = new URL(target);
  const { headers: needed = {}, tls, clientsOf } = options;
  let requests = 0;
  let upgrades = 0;
  const rejected: string[] = [];

  /** The status for a request that is not let through, else null. */
  function verdict(request: IncomingMessage): 400 | 401 | null {
    const { socket, headers } = request;
    const status =
      clientsOf !== undefined && !(socket instanceof TLSSocket && socket.authorized)
        ? 400
        : Object.entries(needed).some(([name, value]) => headers[name] !== value)
          ? 401
          : null;
    if (status !== null) rejected.push(request.url ?? '');
    return status;
  }

  const listener = (request: IncomingMessage, response: import('node:http').ServerResponse): void => {
    const status = verdict(request);
    if (status !== null) {
      response.writeHead(status).end(status === 400 ? '<h1>No required SSL certificate was sent</h1>' : '');
      return;
    }
    requests += 1;
    const { method, url: path, headers } = request;
    const onward = send({ hostname, port, method, path, headers }, answer => {
      response.writeHead(answer.statusCode ?? 502, passedOn(answer.headers));
      answer.pipe(response);
    });
    onward.once('error', () => response.destroy());
    response.once('close', () => onward.destroy());
    request.pipe(onward);
  };
  const server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer(
          {
            ...tls,
            ...(clientsOf === undefined
              ? {}
              : { ca: clientsOf, requestCert: true, rejectUnauthorized: false }),
          },
          listener,
        );
  server.on('upgrade', (request: IncomingMessage, socket, head) => {
    const status = verdict(request);
    if (status !== null) {
      socket.end(`HTTP/1.1 ${status} Rejected\r\nConnection: close\r\n\r\n`);
      return;
    }
    upgrades += 1;
    const onward = connect(Number(port), hostname, () => {
      const { rawHeaders } = request;
      const lines = rawHeaders.flatMap((name, at) =>
        at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1]}`] : [],
      );
      onward.write(`${[`GET ${request.url} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`);
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    onward.once('error', () => socket.destroy()).once('close', () => socket.destroy());
    socket.once('error', () => onward.destroy()).once('close', () => onward.destroy());
  });
  const own = await listen(server);
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${own}`,
    rejected,
    get requests() {
      return requests;
    },
    get upgrades() {
      return upgrades;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
