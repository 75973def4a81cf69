import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { passedOn } from '../proxies.ts';
import { listen } from '../servers.ts';
import { waitForEnd } from '../watch.ts';

const run = promisify(execFile);

/** How to install `requests`, in the order in which they are tried. */
const INSTALLS: readonly (readonly [string, ...string[]])[] = [
  ['apt-get', 'install', '-y', '--no-install-recommends', 'python3', 'python3-requests'],
  ['python3', '-m', 'pip', 'install', '--user', 'requests'],
];

/** Installs python3 with `requests` where it is missing and permissions allow; rejects with what to install otherwise. */
export async function needRequests(): Promise<void> {
  if (await works('python3', '-c', 'import requests')) return;
  for (const [command, ...args] of INSTALLS) {
    await works(command, ...args);
    if (await works('python3', '-c', 'import requests')) return;
  }
  throw new Error('The documented client needs python3 with requests: apt-get install python3-requests');
}

async function works(command: string, ...args: string[]): Promise<boolean> {
  return run(command, args).then(
    () => true,
    () => false,
  );
}

/** Runs a script in a folder, its HTTP requests through `proxy`. Resolves with its standard output. */
export async function runPython(
  args: readonly string[],
  options: { cwd: string; proxy?: string },
): Promise<string> {
  // The environment's own proxies must not apply.
  const proxies = options.proxy === undefined ? { NO_PROXY: '*' } : { HTTP_PROXY: options.proxy };
  const { PATH, HOME } = process.env;
  const { stdout } = await run('python3', [...args], {
    cwd: options.cwd,
    env: { PATH, HOME, PYTHONDONTWRITEBYTECODE: '1', ...proxies },
  });
  return stdout;
}

/** An HTTP proxy that maps the addresses of the documentation to the servers of the test. */
export interface DocumentedAddresses {
  readonly url: string;
  /** Every request that came through, as `GET http://localhost:8189/…`. */
  readonly seen: readonly string[];
  close(): Promise<void>;
}

/**
 * Maps `http://localhost:8189` to the gateway and `https://example.com` to the image server. Forwards a status request only
 * once the job has ended, so that a client that sleeps between two polls polls once.
 */
export async function startDocumentedAddresses(
  gateway: string,
  images: string,
): Promise<DocumentedAddresses> {
  const seen: string[] = [];

  async function forward(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { origin, pathname, search, href } = new URL(incoming.url ?? '');
    seen.push(`${incoming.method} ${href}`);
    if (origin !== 'http://localhost:8189') throw new Error(`unexpected origin ${origin}`);
    const [, id] = /^\/status\/(.+)$/.exec(pathname) ?? [];
    if (id !== undefined) await waitForEnd(gateway, id);
    const body = (await buffer(incoming)).toString().replaceAll('https://example.com', images);
    const { 'content-length': _, host: __, 'proxy-connection': ___, ...headers } = incoming.headers;
    const outgoing = request(gateway + pathname + search, { method: incoming.method, headers });
    outgoing.end(body);
    const [answer] = await once(outgoing, 'response');
    response.writeHead(answer.statusCode, passedOn(answer.headers));
    answer.pipe(response);
  }

  const server = createServer((incoming, response) => {
    forward(incoming, response).catch((error: unknown) => response.writeHead(502).end(String(error)));
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    async close() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
