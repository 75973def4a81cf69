import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { listen } from '../servers.ts';

/** Has a server listen on a free port until the end of the running test, which also ends its connections. */
export async function listenInTest(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const port = await listen(server);
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>(resolve => server.close(() => resolve()));
  });
  return port;
}

/** An HTTP server of the running test. Gives its base URL without a slash at the end. */
export async function serve(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listenInTest(createHttpServer(listener))}`;
}

/** A TCP server of the running test. Gives its port. */
export async function serveTcp(listener: (socket: Socket) => void): Promise<number> {
  return await listenInTest(
    createServer(socket => {
      // These tests expect the client to abort the connection.
      socket.on('error', () => socket.destroy());
      listener(socket);
    }),
  );
}
