import { type BackupOptions, backup, DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { checkVersion, createTables, type MoveEvent, migrate } from './migrations.ts';

/** Page cache: enough to list a thousand jobs from anywhere in a large file, for which SQLite's default of 2 MB is not. */
const CACHE_KIB = 16 * 1024;

/**
 * Pages of the write-ahead log, 16 MB, after which SQLite copies them into the database. It flushes twice for that, and the event
 * loop waits meanwhile; with its default of 1,000 pages a busy gateway would wait every few hundred submits.
 */
const CHECKPOINT_PAGES = 4_000;

/** Another process holds the SQLite file. */
export class StoreInUse extends Error {
  override name = 'StoreInUse';
}

/** What becomes of the tables of another version. */
export type OpenDatabaseOptions =
  /** They stay as they are. */
  | { readonly update: false }
  /** Those of a new file are created, and those of an older version moved forward, as `migrate` does; then `onMove` is called. */
  | { readonly update: true; readonly onMove?: ((event: MoveEvent) => void) | undefined };

/**
 * Opens the SQLite file and holds it exclusively, so that no other process can read or write it. Throws an Error that names DATA_DIR when another process holds the file (StoreInUse), or its tables have a version that this gateway cannot use.
 *
 * What is removed through the connection leaves no bytes in the file, but in its write-ahead log: until that has been copied into
 * the file, and then until it is overwritten or the connection is closed.
 */
export function openDatabase(path: string, options: OpenDatabaseOptions): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE');
    if (options.update && checkVersion(db, path) === 0) createTables(db);
    db.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = NORMAL;
      PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
      PRAGMA cache_size = -${CACHE_KIB};
      PRAGMA foreign_keys = ON;
      BEGIN IMMEDIATE; COMMIT;
    `);
    if (options.update) migrate(db, path, options.onMove);
    else checkVersion(db, path);
    // A submit, a change and a removal take as long with it. Moving the jobs to other tables would take longer.
    db.exec('PRAGMA secure_delete = ON');
    return db;
  } catch (error) {
    db.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) {
      throw new StoreInUse(
        `DATA_DIR: ${path} is in use by another gateway: give this one its own DATA_DIR, or let both share REDIS_URL`,
      );
    }
    throw error;
  }
}

/** Pages of a database, of which some are copied. */
export interface Pages {
  readonly copied: number;
  readonly total: number;
}

/** Copies a database into a file. */
export type CopyDatabase = (path: string, onProgress: (pages: Pages) => void) => Promise<void>;

/** Pages that are copied at a time: 400 KiB, for which the database's other users wait. */
const PAGES_PER_STEP = 100;
/**
 * Milliseconds after which a copy is begun again because the connection was in a transaction, and how often. A transaction takes some
 * milliseconds.
 */
const BEGIN_AGAIN_MS = 10;
const BEGINNINGS = 200;

/**
 * Copies the whole database into a file, in the state that it has at the end. The connection can be used meanwhile: its
 * changes go into the copy, too (https://sqlite.org/c3ref/backup_finish.html). The copy's changes of jobs are a sequence of
 * their own: positions in the original mean nothing there.
 */
export async function copyDatabase(
  db: DatabaseSync,
  path: string,
  onProgress: (pages: Pages) => void,
): Promise<void> {
  const options: BackupOptions = {
    rate: PAGES_PER_STEP,
    progress: ({ totalPages, remainingPages }) =>
      onProgress({ copied: totalPages - remainingPages, total: totalPages }),
  };
  for (let beginning = 1; ; beginning += 1) {
    try {
      await backup(db, path, options);
      break;
    } catch (error) {
      if (!isInTransaction(error) || beginning === BEGINNINGS) throw error;
      await delay(BEGIN_AGAIN_MS);
    }
  }
  renameSequence(path);
}

/**
 * Whether a backup could not begin because its source was in a transaction just then. SQLite says SQLITE_BUSY, and Node rejects
 * with no error code of SQLite. Once the first pages are copied, Node itself tries again (BackupJob in node_sqlite.cc).
 */
function isInTransaction(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 0;
}

function renameSequence(path: string): void {
  const db = new DatabaseSync(path);
  try {
    // Tables of an earlier version may have none.
    if (db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'sequence'").get() === undefined) return;
    db.exec('UPDATE sequence SET name = lower(hex(randomblob(16)))');
  } finally {
    db.close();
  }
}
