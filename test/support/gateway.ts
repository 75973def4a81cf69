import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { readConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway.ts';
import { createLog } from '../../src/log.ts';
import { listen } from './listen.ts';

/** Everything that a test started, stopped in reverse order by `close`. */
export interface Rig {
  readonly url: string;
  readonly dataDir: string;
  /** Pictures over HTTP: `/red.png`, `/blue.jpg`, and what is no picture: `/page.html`, `/missing`. */
  readonly pictures: string;
  graphql<T>(
    query: string,
    variables?: Record<string, unknown>,
  ): Promise<{ data: T | null; errors?: { message: string }[] }>;
  close(): Promise<void>;
}

/** Serves a few pictures on a free port. */
export async function servePictures(): Promise<{ url: string; close(): Promise<void> }> {
  const plain = (background: string, width: number, height: number) =>
    sharp({ create: { width, height, channels: 3, background } });
  const files = new Map<string, { type: string; body: Buffer | string }>([
    ['/red.png', { type: 'image/png', body: await plain('red', 96, 64).png().toBuffer() }],
    ['/blue.jpg', { type: 'image/jpeg', body: await plain('blue', 64, 96).jpeg().toBuffer() }],
    ['/page.html', { type: 'text/html', body: '<!doctype html><p>hello' }],
  ]);
  const server = createServer((request, response) => {
    const file = files.get(request.url ?? '');
    if (file === undefined) response.writeHead(404).end('nothing here');
    else response.writeHead(200, { 'content-type': file.type }).end(file.body);
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}

/** The environment of a gateway under test: a free port, a folder of its own, pictures from loopback allowed. */
export function testEnvironment(
  dataDir: string,
  overrides: Record<string, string> = {},
): Record<string, string> {
  return {
    PORT: '0',
    DATA_DIR: dataDir,
    FETCH_ALLOW: '127.0.0.1',
    LOG_LEVEL: 'silent',
    SANDBOX_STEP: '5ms',
    WATCHDOG: '300ms',
    ...overrides,
  };
}

/** A gateway in this process, on the sandbox unless told otherwise. */
export async function startRig(overrides: Record<string, string> = {}): Promise<Rig> {
  const dataDir = overrides.DATA_DIR ?? (await mkdtemp(join(tmpdir(), 'gateway-')));
  const pictures = await servePictures();
  const result = readConfig(testEnvironment(dataDir, overrides));
  if (!result.ok) throw new Error(result.faults.join('; '));
  const gateway = await startGateway(result.config, createLog(result.config.LOG_LEVEL));
  return {
    url: gateway.url,
    dataDir,
    pictures: pictures.url,
    async graphql(query, variables = {}) {
      const answer = await fetch(`${gateway.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query, variables }),
      });
      return answer.json();
    },
    async close() {
      await gateway.stop();
      await pictures.close();
      if (overrides.DATA_DIR === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}
