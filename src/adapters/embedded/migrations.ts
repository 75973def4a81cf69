import type { DatabaseSync } from 'node:sqlite';
import { VERSION } from '../../version.ts';
import { TABLES, TABLES_VERSION } from './tables.ts';

/** What turns the tables of the version before into those of this version. */
interface Migration {
  readonly version: number;
  readonly sql: string;
}

/**
 * Every step from the oldest tables that are taken to the present ones (`TABLES`), oldest first. A change of the tables is a new
 * step at the end; steps of a released version never change.
 */
const MIGRATIONS: readonly Migration[] = [
  {
    version: 3,
    sql: `
      CREATE TABLE tags (
        tag TEXT NOT NULL,
        owner TEXT,
        created_at INTEGER NOT NULL,
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        PRIMARY KEY (tag, created_at DESC, job_id DESC)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX tags_of_owner ON tags (owner, tag, created_at DESC, job_id DESC);
      CREATE INDEX tags_of_job ON tags (job_id);
    `,
  },
  {
    version: 4,
    // Files of version 3 may have the first three.
    sql: `
      CREATE TABLE IF NOT EXISTS drained_engines (engine TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS durations (
        engine TEXT PRIMARY KEY,
        put_at INTEGER NOT NULL,
        content TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE versions (version INTEGER PRIMARY KEY, gateway TEXT NOT NULL) STRICT;
    `,
  },
  {
    version: 5,
    sql: `
      ALTER TABLE jobs ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
      CREATE INDEX jobs_by_number ON jobs (number) WHERE number > 0;
      CREATE INDEX jobs_of_owner_by_number ON jobs (owner, number) WHERE number > 0 AND owner IS NOT NULL;
      CREATE TABLE removals (number INTEGER PRIMARY KEY, owner TEXT, job_id TEXT NOT NULL) STRICT;
      CREATE INDEX removals_by_owner ON removals (owner, number) WHERE owner IS NOT NULL;
      CREATE TABLE sequence (name TEXT NOT NULL) STRICT;
      INSERT INTO sequence VALUES (lower(hex(randomblob(16))));
    `,
  },
  {
    version: 6,
    sql: `
      CREATE TABLE job_counts (
        owner TEXT NOT NULL,
        status TEXT NOT NULL,
        jobs INTEGER NOT NULL,
        PRIMARY KEY (owner, status)
      ) STRICT, WITHOUT ROWID;
      INSERT INTO job_counts SELECT coalesce(owner, ''), status, count(*) FROM jobs GROUP BY 1, 2;
      CREATE TRIGGER jobs_count_submitted AFTER INSERT ON jobs BEGIN
        INSERT INTO job_counts VALUES (coalesce(new.owner, ''), new.status, 1)
          ON CONFLICT DO UPDATE SET jobs = jobs + 1;
      END;
      CREATE TRIGGER jobs_count_changed AFTER UPDATE OF status ON jobs WHEN old.status <> new.status BEGIN
        UPDATE job_counts SET jobs = jobs - 1 WHERE owner = coalesce(old.owner, '') AND status = old.status;
        INSERT INTO job_counts VALUES (coalesce(new.owner, ''), new.status, 1)
          ON CONFLICT DO UPDATE SET jobs = jobs + 1;
      END;
      CREATE TRIGGER jobs_count_removed AFTER DELETE ON jobs BEGIN
        UPDATE job_counts SET jobs = jobs - 1 WHERE owner = coalesce(old.owner, '') AND status = old.status;
        DELETE FROM job_counts WHERE owner = coalesce(old.owner, '') AND jobs = 0;
      END;
    `,
  },
  {
    version: 7,
    sql: `
      CREATE TABLE usage (
        day INTEGER NOT NULL,
        owner TEXT NOT NULL,
        work INTEGER NOT NULL,
        PRIMARY KEY (day, owner)
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    version: 8,
    sql: `
      CREATE TABLE engines (
        id TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        expires_at INTEGER,
        content TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      INSERT INTO engines SELECT engine, 1, NULL, '{"drained":{"reason":null}}' FROM drained_engines;
      DROP TABLE drained_engines;
    `,
  },
  {
    version: 9,
    sql: `
      CREATE TABLE batches (
        id TEXT PRIMARY KEY,
        owner TEXT,
        created_at INTEGER NOT NULL,
        total INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE batch_keys (
        owner TEXT NOT NULL,
        key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        batch_id TEXT NOT NULL UNIQUE REFERENCES batches (id) ON DELETE CASCADE,
        PRIMARY KEY (owner, key)
      ) STRICT, WITHOUT ROWID;
      ALTER TABLE jobs ADD COLUMN batch_id TEXT REFERENCES batches (id);
      ALTER TABLE jobs ADD COLUMN reached INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE jobs ADD COLUMN started_at INTEGER;
      CREATE INDEX jobs_of_batch ON jobs (batch_id, id) WHERE batch_id IS NOT NULL;
      CREATE INDEX jobs_counted ON jobs (batch_id, status, reached, started_at) WHERE batch_id IS NOT NULL;
    `,
  },
  {
    version: 10,
    sql: `
      CREATE TABLE agreements (
        name TEXT PRIMARY KEY,
        content TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    version: 11,
    sql: `
      CREATE TABLE callers (owner TEXT PRIMARY KEY, policy TEXT NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TRIGGER callers_removed AFTER DELETE ON jobs
      WHEN old.owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM jobs WHERE owner = old.owner) BEGIN
        DELETE FROM callers WHERE owner = old.owner;
      END;
      DROP INDEX jobs_queue;
      CREATE INDEX jobs_queue ON jobs (score, id, owner) WHERE waiting = 1;
    `,
  },
  {
    version: 12,
    // With row ids, so that rows are appended.
    sql: `
      CREATE TABLE artifacts (
        key TEXT NOT NULL UNIQUE,
        bytes BLOB NOT NULL,
        modified_at INTEGER NOT NULL
      ) STRICT;
    `,
  },
  {
    version: 13,
    // The rows of jobs get row ids: they are appended, and fit in a page, where those of a table without row ids go to overflow
    // pages from a fifth of that. A submit writes 4 pages instead of 7, a commit 2 instead of 4, and a job takes half of the space.
    sql: `
      CREATE TABLE rows_of_jobs (
        id TEXT PRIMARY KEY NOT NULL,
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
        state TEXT NOT NULL,
        number INTEGER NOT NULL DEFAULT 0,
        batch_id TEXT REFERENCES batches (id),
        reached INTEGER NOT NULL DEFAULT 0,
        started_at INTEGER
      ) STRICT;
      INSERT INTO rows_of_jobs SELECT id, owner, share, revision, status, waiting, score, lane, created_at, expires_at, request,
        state, number, batch_id, reached, started_at FROM jobs ORDER BY created_at, id;
      DROP TABLE jobs;
      ALTER TABLE rows_of_jobs RENAME TO jobs;
      CREATE INDEX jobs_newest ON jobs (created_at DESC, id DESC);
      CREATE INDEX jobs_by_status ON jobs (status, created_at DESC, id DESC);
      CREATE INDEX jobs_by_owner ON jobs (owner, created_at DESC, id DESC);
      CREATE INDEX jobs_queue ON jobs (score, id, owner) WHERE waiting = 1;
      CREATE INDEX jobs_waiting_since ON jobs (created_at) WHERE waiting = 1;
      CREATE INDEX jobs_queued_of ON jobs (share) WHERE status = 'QUEUED';
      CREATE INDEX jobs_in_lanes ON jobs (lane) WHERE lane IS NOT NULL;
      CREATE INDEX jobs_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL;
      CREATE INDEX jobs_by_number ON jobs (number) WHERE number > 0;
      CREATE INDEX jobs_of_owner_by_number ON jobs (owner, number) WHERE number > 0 AND owner IS NOT NULL;
      CREATE INDEX jobs_of_batch ON jobs (batch_id, id) WHERE batch_id IS NOT NULL;
      CREATE INDEX jobs_counted ON jobs (batch_id, status, reached, started_at) WHERE batch_id IS NOT NULL;
      CREATE TRIGGER jobs_count_submitted AFTER INSERT ON jobs BEGIN
        INSERT INTO job_counts VALUES (coalesce(new.owner, ''), new.status, 1)
          ON CONFLICT DO UPDATE SET jobs = jobs + 1;
      END;
      CREATE TRIGGER jobs_count_changed AFTER UPDATE OF status ON jobs WHEN old.status <> new.status BEGIN
        UPDATE job_counts SET jobs = jobs - 1 WHERE owner = coalesce(old.owner, '') AND status = old.status;
        INSERT INTO job_counts VALUES (coalesce(new.owner, ''), new.status, 1)
          ON CONFLICT DO UPDATE SET jobs = jobs + 1;
      END;
      CREATE TRIGGER jobs_count_removed AFTER DELETE ON jobs BEGIN
        UPDATE job_counts SET jobs = jobs - 1 WHERE owner = coalesce(old.owner, '') AND status = old.status;
        DELETE FROM job_counts WHERE owner = coalesce(old.owner, '') AND jobs = 0;
      END;
      CREATE TRIGGER callers_removed AFTER DELETE ON jobs
      WHEN old.owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM jobs WHERE owner = old.owner) BEGIN
        DELETE FROM callers WHERE owner = old.owner;
      END;
    `,
  },
];

/** The version before the first step. */
const OLDEST = 2;

/** How far a file of an older version is moved forward. */
export type MoveEvent =
  | { readonly kind: 'started'; readonly from: number; readonly to: number; readonly jobs: number }
  /** It has this version now. */
  | { readonly kind: 'step'; readonly version: number }
  | { readonly kind: 'ended' };

/**
 * Moves the tables of an older version forward. Each step is one transaction, so a crash leaves a file that the next start moves
 * on. The process does nothing else during a step. Throws as `checkVersion`, having changed nothing.
 */
export function migrate(
  db: DatabaseSync,
  path: string,
  onMove: (event: MoveEvent) => void = () => undefined,
): void {
  const from = checkVersion(db, path);
  if (from === TABLES_VERSION) return;
  const jobs = Number(db.prepare('SELECT count(*) AS n FROM jobs').get()?.n ?? 0);
  onMove({ kind: 'started', from, to: TABLES_VERSION, jobs });
  // With them the rows that refer to a table's rows would go when it is replaced (https://sqlite.org/lang_altertable.html).
  db.exec('PRAGMA foreign_keys = OFF');
  for (const step of MIGRATIONS) {
    if (step.version <= from) continue;
    db.exec('BEGIN IMMEDIATE');
    take(db, step);
    db.exec('COMMIT');
    onMove({ kind: 'step', version: step.version });
  }
  db.exec('PRAGMA foreign_keys = ON');
  onMove({ kind: 'ended' });
}

/**
 * Creates the tables of a new file in one transaction. Call it before the file has a write-ahead log, into which their pages
 * would be written again.
 */
export function createTables(db: DatabaseSync): void {
  db.exec('BEGIN IMMEDIATE');
  take(db, { version: TABLES_VERSION, sql: TABLES });
  db.exec('COMMIT');
}

function take(db: DatabaseSync, { version, sql }: Migration): void {
  db.exec(`${sql} PRAGMA user_version = ${version};`);
  if (version !== TABLES_VERSION) return;
  db.prepare('INSERT INTO versions (version, gateway) VALUES (?, ?)').run(version, VERSION);
}

/** The version of the tables, 0 for a new file. Throws an Error that names DATA_DIR when this gateway cannot use them. */
export function checkVersion(db: DatabaseSync, path: string): number {
  const version = Number(db.prepare('PRAGMA user_version').get()?.user_version ?? 0);
  if (version > TABLES_VERSION) {
    const writer = writerOf(db);
    const [by, start] =
      writer === null ? ['', 'a later gateway'] : [` of gateway ${writer}`, `${writer} or later`];
    throw new Error(
      `DATA_DIR: ${path} has version ${version}${by}, and this gateway, ${VERSION}, takes ${TABLES_VERSION} at most; ` +
        `start ${start}, or restore a backup that was made before the update`,
    );
  }
  if (version !== 0 && version < OLDEST) {
    throw new Error(
      `DATA_DIR: ${path} has version ${version}, and this gateway, ${VERSION}, takes ${OLDEST} at least; ` +
        'move the file away to start without its jobs',
    );
  }
  return version;
}

/** The gateway that made the last step; null when a later version stores that in another way. */
function writerOf(db: DatabaseSync): string | null {
  const columns = db.prepare("SELECT name FROM pragma_table_info('versions')").all();
  if (!['version', 'gateway'].every(name => columns.some(column => column.name === name))) return null;
  const row = db.prepare('SELECT gateway FROM versions ORDER BY version DESC LIMIT 1').get();
  return row === undefined ? null : String(row.gateway);
}
