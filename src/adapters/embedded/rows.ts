import type { DatabaseSync } from 'node:sqlite';
import type { Job } from '../../jobs/job.ts';
import type { CommitResult } from '../../jobs/ports.ts';
import { columnsOf, encodeState } from '../record.ts';
import { jobOf } from './lists.ts';

/** The rows of jobs by their id. Submits add them. */
export interface JobRows {
  get(id: string): Job | null;
  /** In the order of the ids; null where there is no such job. */
  getMany(ids: readonly string[]): (Job | null)[];
  /** Replaces the revision `fromRevision` of a job, and gives the change its number. */
  update(next: Job, number: number, fromRevision: number): Exclude<CommitResult, 'fenced'>;
  /** Returns what the job belonged to; null: there is no such job. */
  remove(id: string): { owner: string | null; batch: string | null } | null;
  /** The jobs whose runs have begun. */
  processing(): Job[];
  /** At most `limit` jobs that have expired, those of the longest ago first. */
  expired(at: number, limit: number): Job[];
}

export function createJobRows(db: DatabaseSync): JobRows {
  const sql = {
    get: db.prepare('SELECT request, state FROM jobs WHERE id = ?'),
    getMany: db.prepare('SELECT request, state FROM jobs WHERE id IN (SELECT value FROM json_each(?))'),
    update: db.prepare(
      `UPDATE jobs SET revision = ?, state = ?, number = ?, reached = ?,
         status = ?, waiting = ?, lane = ?, expires_at = ?, started_at = ?
       WHERE id = ? AND revision = ?`,
    ),
    // Steps of a run change no column of another index: without these they write half as many pages.
    step: db.prepare(
      `UPDATE jobs SET revision = ?, state = ?, number = ?, reached = ?
       WHERE status = ? AND waiting = ? AND lane IS ? AND expires_at IS ? AND started_at IS ? AND id = ? AND revision = ?`,
    ),
    exists: db.prepare('SELECT 1 FROM jobs WHERE id = ?'),
    remove: db.prepare('DELETE FROM jobs WHERE id = ? RETURNING owner, batch_id'),
    processing: db.prepare("SELECT request, state FROM jobs WHERE status = 'PROCESSING'"),
    expired: db.prepare('SELECT request, state FROM jobs WHERE expires_at <= ? ORDER BY expires_at LIMIT ?'),
  };

  return {
    get(id) {
      const row = sql.get.get(id);
      return row ? jobOf(row) : null;
    },
    getMany(ids) {
      const jobs = sql.getMany.all(JSON.stringify(ids)).map(jobOf);
      const found = new Map(jobs.map(job => [job.id, job]));
      return ids.map(id => found.get(id) ?? null);
    },
    update(next, number, fromRevision) {
      const { revision, reached, status, waiting, lane, expiresAt, startedAt } = columnsOf(next);
      const values = [
        ...[revision, encodeState(next), number, reached],
        ...[status, waiting, lane, expiresAt, startedAt, next.id, fromRevision],
      ];
      if (status === 'PROCESSING' && sql.step.run(...values).changes === 1) return 'ok';
      if (sql.update.run(...values).changes === 1) return 'ok';
      return sql.exists.get(next.id) === undefined ? 'gone' : 'stale';
    },
    remove(id) {
      const row = sql.remove.get(id);
      if (row === undefined) return null;
      return { owner: textOf(row.owner), batch: textOf(row.batch_id) };
    },
    processing: () => sql.processing.all().map(jobOf),
    expired: (at, limit) => sql.expired.all(at, limit).map(jobOf),
  };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
