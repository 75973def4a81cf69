import type { DatabaseSync } from 'node:sqlite';
import { type Batch, type NewBatch, noCounts } from '../../jobs/batches/batch.ts';
import { JOB_STATUSES } from '../../jobs/job.ts';
import type { BatchJobsQuery, Idempotency, JobPage } from '../../jobs/ports.ts';
import { jobOf } from './lists.ts';

/** The statements about batches. Those that write run in the transaction of their caller. */
export interface BatchTables {
  /** Adds a batch. Its jobs refer to it, so they come after it. */
  insert(batch: NewBatch, idempotency: Idempotency | null): void;
  /** The batch of an idempotency key; null: no batch has the key. */
  keyOf(owner: string, key: string): { readonly id: string; readonly fingerprint: string } | null;
  read(id: string): Batch | null;
  jobs(query: BatchJobsQuery): JobPage;
  /** Removes a batch that has no jobs any more. */
  removeEmpty(id: string): void;
}

/** Follows every id: they are of ASCII. */
const AFTER_IDS = '\u{7f}';

const IN_RANGE = `SELECT request, state FROM jobs WHERE batch_id = ? AND id > ? AND id < ?
  AND status IN (SELECT value FROM json_each(?))`;

/** Counting a batch of a thousand reads one index, which takes some 0.1 ms. */
export function createBatchTables(db: DatabaseSync): BatchTables {
  const sql = {
    insert: db.prepare('INSERT INTO batches (id, owner, created_at, total) VALUES (?, ?, ?, ?)'),
    insertKey: db.prepare('INSERT INTO batch_keys (owner, key, fingerprint, batch_id) VALUES (?, ?, ?, ?)'),
    findKey: db.prepare('SELECT fingerprint, batch_id FROM batch_keys WHERE owner = ? AND key = ?'),
    get: db.prepare('SELECT owner, created_at, total FROM batches WHERE id = ?'),
    count: db.prepare(
      `SELECT status, count(*) AS n, sum(reached) AS reached, min(started_at) AS started_at FROM jobs
       WHERE batch_id = ? GROUP BY status`,
    ),
    first: db.prepare(`${IN_RANGE} ORDER BY id LIMIT ?`),
    last: db.prepare(`${IN_RANGE} ORDER BY id DESC LIMIT ?`),
    removeEmpty: db.prepare(
      'DELETE FROM batches WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE batch_id = ?1)',
    ),
  };

  return {
    insert({ id, owner, createdAt, total }, idempotency) {
      sql.insert.run(id, owner, createdAt, total);
      if (idempotency === null) return;
      sql.insertKey.run(owner ?? '', idempotency.key, idempotency.fingerprint, id);
    },
    keyOf(owner, key) {
      const row = sql.findKey.get(owner, key);
      return row === undefined ? null : { id: String(row.batch_id), fingerprint: String(row.fingerprint) };
    },
    read(id) {
      const row = sql.get.get(id);
      if (row === undefined) return null;
      const counts = noCounts();
      let reached = 0;
      let startedAt: number | null = null;
      const groups = sql.count.all(id);
      if (groups.length === 0) return null;
      for (const group of groups) {
        const status = JOB_STATUSES.find(name => name === group.status);
        if (status === undefined) continue;
        counts[status] = Number(group.n);
        if (status === 'QUEUED' || status === 'PROCESSING') reached += Number(group.reached);
        if (group.started_at === null) continue;
        startedAt = Math.min(startedAt ?? Number.POSITIVE_INFINITY, Number(group.started_at));
      }
      return {
        id,
        owner: row.owner === null ? null : String(row.owner),
        createdAt: Number(row.created_at),
        total: Number(row.total),
        counts,
        reached,
        startedAt,
      };
    },
    jobs({ batch, statuses, after, before, first, last }) {
      const size = first ?? last;
      const wanted = JSON.stringify(statuses ?? JOB_STATUSES);
      const read = last === undefined ? sql.first : sql.last;
      const found = read.all(batch, after?.id ?? '', before?.id ?? AFTER_IDS, wanted, size + 1).map(jobOf);
      const jobs = found.slice(0, size);
      return { jobs: last === undefined ? jobs : jobs.reverse(), hasMore: found.length > size };
    },
    removeEmpty(id) {
      sql.removeEmpty.run(id);
    },
  };
}
