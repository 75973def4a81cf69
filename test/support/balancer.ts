import { Agent, createServer, request as send } from 'node:http';
import { connect } from 'node:net';
import { pipeline } from 'node:stream';
import { passedOn } from './proxies.ts';
import { listen } from './servers.ts';

/** A reverse proxy that sends requests only to gateways that are ready. */
export interface Balancer {
  readonly url: string;
  /** The gateways that were ready when they were asked last. */
  ready(): readonly string[];
  /** How each gateway was lost that was ready before: it said so with this status, or was gone (null). */
  readonly losses: readonly (number | null)[];
  stop(): Promise<void>;
}

/** Pause between two checks of a gateway. */
const CHECK_MS = 50;

/**
 * Passes requests and WebSockets on to the gateways at `targets` by turns, as long as their `/readyz` answers 200. Retries
 * nothing: a request that a gateway drops fails.
 */
export async function startBalancer(targets: readonly string[]): Promise<Balancer> {
  const agent = new Agent({ keepAlive: true });
  const stopping = new AbortController();
  const ready = new Set<string>();
  const losses: (number | null)[] = [];
  let turn = 0;

  async function check(target: string): Promise<void> {
    const status = await fetch(`${target}/readyz`, { signal: stopping.signal }).then(
      answer => answer.status,
      () => null,
    );
    if (status === 200) ready.add(target);
    else if (ready.delete(target) && !stopping.signal.aborted) losses.push(status);
  }

  function next(): URL | null {
    turn += 1;
    const target = [...ready].sort()[turn % Math.max(1, ready.size)];
    return target === undefined ? null : new URL(target);
  }

  const server = createServer((request, response) => {
    const target = next();
    if (target === null) {
      response.writeHead(502).end();
      return;
    }
    const { method, url: path, headers } = request;
    const onward = send(
      { hostname: target.hostname, port: target.port, method, path, headers, agent },
      answer => {
        response.writeHead(answer.statusCode ?? 502, passedOn(answer.headers));
        response.flushHeaders();
        pipeline(answer, response, () => {});
      },
    );
    onward.once('error', () => response.destroy());
    response.once('close', () => onward.destroy());
    request.pipe(onward);
  });
  server.on('upgrade', (request, socket, head) => {
    const target = next();
    if (target === null) {
      socket.destroy();
      return;
    }
    const onward = connect(Number(target.port), target.hostname, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let n = 0; n < request.rawHeaders.length; n += 2) {
        lines.push(`${request.rawHeaders[n]}: ${request.rawHeaders[n + 1]}`);
      }
      onward.write(`${lines.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      pipeline(socket, onward, socket, () => {});
    });
    onward.once('error', () => socket.destroy());
  });

  let checks: Promise<unknown> = Promise.all(targets.map(check));
  await checks;
  const timer = setInterval(() => {
    checks = Promise.all(targets.map(check));
  }, CHECK_MS);
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    ready: () => [...ready],
    losses,
    async stop() {
      clearInterval(timer);
      stopping.abort();
      await checks;
      server.closeAllConnections();
      agent.destroy();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
