import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createTables } from '../../../src/adapters/embedded/migrations.ts';
import { columnsOf, encodeState } from '../../../src/adapters/record.ts';
import { type Job, queueScore } from '../../../src/jobs/job.ts';
import { aJob } from '../../../test/support/jobs.ts';
import { finished } from './ledger.ts';

/** Jobs that wait beside the finished ones. */
const WAITING = 50;

/**
 * Writes a ledger of so many finished jobs, of ten owners, every tenth failed, and of a few that wait; in one
 * transaction, because the ledger's own way would take minutes for a hundred thousand. Returns the ids of `sampled` finished
 * jobs, which lie evenly among the others.
 */
export function fillWithFinished(dataDir: string, count: number, sampled: number): string[] {
  const db = new DatabaseSync(join(dataDir, 'jobs.sqlite'));
  // In KiB: the index of ids, which come in any order, stays in memory.
  db.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000');
  createTables(db);
  const indices = indicesOf(db);
  for (const { name } of indices) db.exec(`DROP INDEX ${name}`);
  const insert = db.prepare(
    `INSERT INTO jobs (id, owner, share, revision, status, waiting, score, lane, created_at, expires_at, request, state)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const begun = Date.now() - count * 100;
  const put = (job: Job): void => {
    const { revision, status, waiting, lane, expiresAt } = columnsOf(job);
    insert.run(
      job.id,
      job.owner,
      job.share,
      revision,
      status,
      waiting,
      queueScore(job),
      lane,
      job.createdAt,
      expiresAt,
      JSON.stringify(job.request),
      encodeState(job),
    );
  };
  const every = Math.floor(count / sampled);
  const ids: string[] = [];
  db.exec('BEGIN');
  // In the order of time, as a gateway does.
  for (let n = 0; n < count; n += 1) {
    const at = begun + n * 100;
    const submitted = aJob({ id: randomUUID(), owner: `key:${n % 10}`, createdAt: at });
    const failed = n % 10 === 1 ? ({ status: 'ERROR', outputs: [] } as const) : {};
    put({ ...submitted, ...finished(`outputs/${submitted.id}/0.png`, 1_000, at), ...failed, revision: 9 });
    if (n % every === 0 && ids.length < sampled) ids.push(submitted.id);
  }
  for (let n = 0; n < WAITING; n += 1) put(aJob({ id: randomUUID(), createdAt: begun + count * 100 + n }));
  db.exec('COMMIT');
  for (const { sql } of indices) db.exec(sql);
  db.exec('PRAGMA journal_mode = WAL');
  db.close();
  return ids;
}

/** Those of the jobs that a statement made, by which they can be made again. */
function indicesOf(db: DatabaseSync): { name: string; sql: string }[] {
  return db
    .prepare(
      "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'jobs' AND sql IS NOT NULL",
    )
    .all()
    .map(({ name, sql }) => ({ name: String(name), sql: String(sql) }));
}
