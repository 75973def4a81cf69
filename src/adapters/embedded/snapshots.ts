import { randomUUID } from 'node:crypto';
import { chmod, readdir, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Log } from '../../log.ts';
import type { CopyDatabase, Pages } from './database.ts';

/** The socket in the data folder on which a gateway offers snapshots of its database. */
export const SNAPSHOT_SOCKET = 'backup.sock';

const SNAPSHOT = /^snapshot-[0-9a-f-]{36}\.sqlite/;

/** A line that a client of the socket gets: progress, then the name of the snapshot in the data folder, or an error. */
export type SnapshotLine = Pages | { readonly file: string } | { readonly error: string };

/**
 * Offers snapshots of the database while this process holds it. A connection is the request: it gets lines of
 * JSON, and the snapshot is removed when it closes. The socket is for this user only, and a client names no path.
 *
 * Resolves with null, after a log line, where the file system has no sockets or the path is too long for one.
 */
export async function serveSnapshots(
  copy: CopyDatabase,
  dataDir: string,
  log: Log,
): Promise<{ stop(): Promise<void> } | null> {
  const path = join(dataDir, SNAPSHOT_SOCKET);
  // Left by a process that was killed. It is gone, since we hold the database now.
  await rm(path, { force: true });
  for (const name of await readdir(dataDir)) if (SNAPSHOT.test(name)) await rm(join(dataDir, name));

  const running = new Set<Promise<void>>();
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    // A client that goes away needs no snapshot.
    socket.on('error', () => undefined);
    const done = serveOne(copy, dataDir, socket)
      .catch(error => log.error({ err: error }, 'could not make a snapshot of the jobs'))
      .finally(() => {
        sockets.delete(socket);
        running.delete(done);
      });
    running.add(done);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    await chmod(path, 0o600);
  } catch (error) {
    server.close();
    log.warn({ path, err: error }, 'no backups while the gateway runs: cannot listen on this path');
    return null;
  }
  return {
    async stop() {
      const closed = new Promise(resolve => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await Promise.all([closed, ...running]);
    },
  };
}

async function serveOne(copy: CopyDatabase, dataDir: string, socket: Socket): Promise<void> {
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()));
  const send = (line: SnapshotLine): void => {
    if (socket.writable) socket.write(`${JSON.stringify(line)}\n`);
  };
  const file = `snapshot-${randomUUID()}.sqlite`;
  socket.resume();
  try {
    try {
      await copy(join(dataDir, file), send);
      send({ file });
    } catch (error) {
      send({ error: error instanceof Error ? error.message : String(error) });
      socket.end();
    }
    await closed;
  } finally {
    for (const suffix of ['', '-journal', '-wal', '-shm']) {
      await rm(join(dataDir, `${file}${suffix}`), { force: true });
    }
  }
}
