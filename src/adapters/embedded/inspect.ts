import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { checkVersion } from './migrations.ts';

/** `held`: another process, which is a gateway, has opened it. */
export type DatabaseState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'held' }
  /** `version` is that of its tables; the next start moves an older one forward. */
  | { readonly kind: 'read'; readonly version: number; readonly jobs: number };

const SQLITE_BUSY = 5;

/**
 * Reads the version and the number of jobs of a job file, and changes nothing. Throws when it cannot be read,
 * and as `checkVersion`.
 */
export async function inspectDatabase(path: string): Promise<DatabaseState> {
  if (!existsSync(path)) return { kind: 'absent' };
  const [wal, shm] = [`${path}-wal`, `${path}-shm`];
  const hadShm = existsSync(shm);
  // A gateway that runs, or was killed, has a write-ahead log. Without one SQLite need not look for writers, and creates no
  // files.
  const url = pathToFileURL(path);
  const closed = !existsSync(wal);
  if (closed) url.searchParams.set('immutable', '1');
  try {
    return read(url, path);
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)
      return { kind: 'held' };
    throw error;
  } finally {
    // An index of the log, which gateways do not use.
    if (!closed && !hadShm) await rm(shm, { force: true });
  }
}

function read(url: URL, path: string): DatabaseState {
  const db = new DatabaseSync(url, { readOnly: true, timeout: 0 });
  try {
    const version = checkVersion(db, path);
    // An empty file becomes a job file with the next start.
    const jobs = version === 0 ? 0 : Number(db.prepare('SELECT count(*) AS n FROM jobs').get()?.n ?? 0);
    return { kind: 'read', version, jobs };
  } finally {
    db.close();
  }
}
