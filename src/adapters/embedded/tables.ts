/** The version of the tables that this gateway uses, which is that of the last migration. */
export const TABLES_VERSION = 13;

/**
 * The tables, as SQL that creates them in a new file. A change of them is also a new step at the end of the migrations.
 *
 * `jobs.request` never changes and `jobs.state` changes with each commit, so that a commit writes little.
 * `deliveries.due_at` is when a delivery may be tried, or when its claim ends; null means never again.
 * `tags` has a row for each label and metadata entry of a job (`jobs/labels.ts`), in the order of lists.
 * `jobs.number` is that of the job's newest change; 0: before there were numbers. `sequence` names them: a copy of the file has
 * another name.
 * `job_counts` has the number of jobs by owner ('' for none) and status; triggers keep it.
 * `usage` is the work that callers have submitted, by the day in UTC.
 * `engines` has what all gateways know of an engine; `expires_at` is when its registration does.
 * `batches` are counted from their jobs: `reached` and `started_at` are what that needs of a job besides its status.
 * `callers` has the names of the policies of callers that have jobs or keys.
 * `artifacts` are the small input images of jobs.
 * `versions` has the version of the gateway that moved the file to each version.
 */
export const TABLES = `
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
  CREATE TABLE job_counts (
    owner TEXT NOT NULL,
    status TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (owner, status)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE jobs (
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
  CREATE TABLE tags (
    tag TEXT NOT NULL,
    owner TEXT,
    created_at INTEGER NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, created_at DESC, job_id DESC)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX tags_of_owner ON tags (owner, tag, created_at DESC, job_id DESC);
  CREATE INDEX tags_of_job ON tags (job_id);
  CREATE TABLE durations (
    engine TEXT PRIMARY KEY,
    put_at INTEGER NOT NULL,
    content TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE versions (version INTEGER PRIMARY KEY, gateway TEXT NOT NULL) STRICT;
  CREATE TABLE removals (number INTEGER PRIMARY KEY, owner TEXT, job_id TEXT NOT NULL) STRICT;
  CREATE INDEX removals_by_owner ON removals (owner, number) WHERE owner IS NOT NULL;
  CREATE TABLE sequence (name TEXT NOT NULL) STRICT;
  INSERT INTO sequence VALUES (lower(hex(randomblob(16))));
  CREATE TABLE usage (
    day INTEGER NOT NULL,
    owner TEXT NOT NULL,
    work INTEGER NOT NULL,
    PRIMARY KEY (day, owner)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE engines (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    expires_at INTEGER,
    content TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE agreements (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE callers (owner TEXT PRIMARY KEY, policy TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE artifacts (
    key TEXT NOT NULL UNIQUE,
    bytes BLOB NOT NULL,
    modified_at INTEGER NOT NULL
  ) STRICT;
`;
