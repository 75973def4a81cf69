import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listen } from '../listen.ts';
import { waitForEnd } from '../rest-gateway.ts';

/** An HTTP proxy that makes the addresses of the documentation lead to where the test runs. */
export interface StandIn {
  readonly url: string;
  /** Every request that came through, as `GET http://localhost:8189/…`. */
  readonly seen: readonly string[];
  stop(): Promise<void>;
}

/**
 * `http://localhost:8189` leads to the gateway and `https://example.com` to the picture server. A status is asked
 * for only once the job has ended, so that a client which sleeps between two looks need not.
 */
export async function startStandIn(gateway: string, pictures: string): Promise<StandIn> {
  const seen: string[] = [];

  async function pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = new URL(incoming.url ?? '');
    seen.push(`${incoming.method} ${asked.href}`);
    if (asked.origin !== 'http://localhost:8189') throw new Error(`${asked.origin} is nothing to the test`);
    const [, id] = /^\/status\/(.+)$/.exec(asked.pathname) ?? [];
    if (id !== undefined) await waitForEnd(gateway, id);
    const body = (await buffer(incoming)).toString().replaceAll('https://example.com', pictures);
    const { 'content-length': _, host: __, 'proxy-connection': ___, ...headers } = incoming.headers;
    const outgoing = request(gateway + asked.pathname + asked.search, { method: incoming.method, headers });
    outgoing.end(body);
    const [answer] = await once(outgoing, 'response');
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  }

  const server = createServer((incoming, response) => {
    pass(incoming, response).catch((error: unknown) => {
      response.statusCode = 502;
      response.end(String(error));
    });
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
