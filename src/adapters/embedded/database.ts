import { backup, DatabaseSync } from 'node:sqlite';

/** Version of the tables below; raise it with every change of them. */
const SCHEMA_VERSION = 3;

/** Page cache: enough to list a thousand jobs from anywhere in a large file, for which SQLite's default of 2 MB is not. */
const CACHE_KIB = 16 * 1024;

/**
 * Opens the SQLite file and holds it exclusively, so that no other process can read or write it. Creates the tables
 * of a new file. Throws when another process holds the file or its tables have another version.
 */
export function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = NORMAL;
      PRAGMA cache_size = -${CACHE_KIB};
      PRAGMA foreign_keys = ON;
      BEGIN IMMEDIATE; COMMIT;
    `);
    createTables(db);
    return db;
  } catch (error) {
    db.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) {
      throw new Error(
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
 * Copies the whole database into a file, in the state that it has at the end. The connection can be used meanwhile: its
 * changes go into the copy, too (https://sqlite.org/c3ref/backup_finish.html).
 */
export async function copyDatabase(
  db: DatabaseSync,
  path: string,
  onProgress: (pages: Pages) => void,
): Promise<void> {
  await backup(db, path, {
    rate: PAGES_PER_STEP,
    progress: ({ totalPages, remainingPages }) =>
      onProgress({ copied: totalPages - remainingPages, total: totalPages }),
  });
}

/** Creates the tables of a new file. Throws when the file has tables of another version. */
export function createTables(db: DatabaseSync): void {
  const version = Number(db.prepare('PRAGMA user_version').get()?.user_version ?? 0);
  if (version !== 0 && version !== SCHEMA_VERSION) {
    throw new Error(`The job file has version ${version}; this gateway reads version ${SCHEMA_VERSION}`);
  }
  if (version === 0) db.exec(`BEGIN; ${TABLES} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT;`);
  db.exec(LATER_TABLES);
}

/** Tables that no other refers to, so that a file without them is as good. */
const LATER_TABLES = `
  CREATE TABLE IF NOT EXISTS drained_engines (engine TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
`;

/**
 * `jobs.request` never changes and `jobs.state` changes with each commit, so that a commit writes little.
 * `tags` has a row for each label and metadata entry of a job (`jobs/labels.ts`), in the order of lists.
 * `deliveries.due_at` is when a delivery may be tried, or when its claim ends; null means never again.
 */
const TABLES = `
  CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    owner TEXT,
    share TEXT,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    score INTEGER NOT NULL,
    lane TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    request TEXT NOT NULL,
    state TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX jobs_newest ON jobs (created_at DESC, id DESC);
  CREATE INDEX jobs_by_status ON jobs (status, created_at DESC, id DESC);
  CREATE INDEX jobs_by_owner ON jobs (owner, created_at DESC, id DESC);
  CREATE INDEX jobs_queue ON jobs (score, id) WHERE waiting = 1;
  CREATE INDEX jobs_waiting_since ON jobs (created_at) WHERE waiting = 1;
  CREATE INDEX jobs_queued_of ON jobs (share) WHERE status = 'QUEUED';
  CREATE INDEX jobs_in_lanes ON jobs (lane) WHERE lane IS NOT NULL;
  CREATE INDEX jobs_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE tags (
    tag TEXT NOT NULL,
    owner TEXT,
    created_at INTEGER NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, created_at DESC, job_id DESC)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX tags_of_owner ON tags (owner, tag, created_at DESC, job_id DESC);
  CREATE INDEX tags_of_job ON tags (job_id);
  CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (owner, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX idempotency_by_job ON idempotency (job_id);
  CREATE TABLE lanes (
    lane TEXT PRIMARY KEY,
    token INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    due_at INTEGER,
    content TEXT NOT NULL
  ) STRICT;
  CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL;
  CREATE INDEX deliveries_of ON deliveries (job_id);
`;
