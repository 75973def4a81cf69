import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Log } from '../log.ts';

/** What a scrape gets. */
export type RenderMetrics = () => Promise<{ readonly type: string; readonly body: string }>;

/** GET `/metrics`, for operators. */
export function metricsRoute(app: FastifyInstance, render: RenderMetrics): void {
  app.get('/metrics', { config: { access: 'operator', logged: false } }, async (_request, reply) => {
    const { type, body } = await render();
    return reply.header('content-type', type).header('cache-control', 'no-store').send(body);
  });
}

/**
 * Serves GET `/metrics` without credentials on a port of its own, which only the scraper should reach. Rejects when the port
 * is in use.
 */
export async function startMetricsServer(options: {
  readonly host: string;
  readonly port: number;
  readonly render: RenderMetrics;
  readonly log: Log;
}): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const { host, port, render, log } = options;
  const server = createServer((request, response) => {
    const [path] = (request.url ?? '').split('?', 1);
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('See /metrics\n');
      return;
    }
    render().then(
      ({ type, body }) => response.writeHead(200, { 'content-type': type }).end(body),
      error => {
        log.error({ err: error }, 'could not collect the metrics');
        response.writeHead(500).end();
      },
    );
  });
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  server.listen(port, host, listening.resolve);
  await listening.promise;
  const address: AddressInfo | string | null = server.address();
  const actual = typeof address === 'object' && address !== null ? address.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}/metrics`,
    async stop() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}
