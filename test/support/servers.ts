import type { IncomingHttpHeaders } from 'node:http';
import { createServer, type Server } from 'node:net';

/** Has a server listen on a free port of loopback. Gives the port. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('A server that listens has a port');
  return address.port;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise(resolve => server.close(resolve));
  return port;
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
