import type { DatabaseSync } from 'node:sqlite';

/** Rises with each change of the tables below; a file written by a newer gateway is refused. */
const SCHEMA_VERSION = 2;

/**
 * Makes the tables of a new file. Throws when the file was written by a newer version.
 * What never changes (`request`) is apart from what changes with each step (`state`), so a step writes little.
 */
export function migrate(db: DatabaseSync): void {
  const version = Number(db.prepare('PRAGMA user_version').get()?.user_version ?? 0);
  if (version > SCHEMA_VERSION) {
    throw new Error(`The job file is of version ${version}; this gateway reads up to ${SCHEMA_VERSION}`);
  }
  if (version === SCHEMA_VERSION) return;
  db.exec(`
    BEGIN;
    ${version < 1 ? JOBS : ''}
    ${DELIVERIES}
    PRAGMA user_version = ${SCHEMA_VERSION};
    COMMIT;
  `);
}

/** Version 1. */
const JOBS = `
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
`;

/**
 * Version 2: the outbox of webhooks. `due_at` is when it may be tried, null when never again; while it is claimed, the
 * end of the claim.
 */
const DELIVERIES = `
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
