import type { DatabaseSync } from 'node:sqlite';
import { type Candidate, candidateOf, type Place, type RunningLimits } from '../../jobs/claims.ts';
import type { Job } from '../../jobs/job.ts';
import type { CallerLimits, CallerTable } from './callers.ts';
import { jobOf } from './lists.ts';

/** The jobs that wait for a lane. */
export interface Queue {
  /** How many they are. */
  size(): number;
  /** The jobs that should run next, best first. */
  first(limit: number): Job[];
  /** Those of these jobs that wait. */
  among(ids: readonly string[]): Job[];
  /** Those created before a time, oldest first. */
  overdue(createdBefore: number, limit: number): Job[];
  /** All of them, best first, without those of callers that are at their limit. Read as it is iterated. */
  candidates(limits: CallerLimits): Generator<Candidate>;
  place(job: Job, running: RunningLimits): Place;
  /** Others went before these jobs at `at`. */
  passedOver(ids: readonly string[], at: number): void;
  /** A job no longer waits. */
  left(id: string): void;
}

/** When jobs were passed over is kept in memory only. */
export function createQueue(db: DatabaseSync, callers: Pick<CallerTable, 'limits'>): Queue {
  /** When a waiting job was first passed over. */
  const passedAt = new Map<string, number>();
  const sql = {
    size: db.prepare('SELECT count(*) AS n FROM jobs WHERE waiting = 1'),
    first: db.prepare('SELECT request, state FROM jobs WHERE waiting = 1 ORDER BY score, id LIMIT ?'),
    among: db.prepare(
      'SELECT request, state FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND waiting = 1',
    ),
    overdue: db.prepare(
      'SELECT request, state FROM jobs WHERE waiting = 1 AND created_at < ? ORDER BY created_at LIMIT ?',
    ),
    candidates: db.prepare('SELECT request, state, score FROM jobs WHERE waiting = 1 ORDER BY score, id'),
    candidatesBesides: db.prepare(
      `SELECT request, state, score FROM jobs
       WHERE waiting = 1 AND (owner IS NULL OR owner NOT IN (SELECT value FROM json_each(?))) ORDER BY score, id`,
    ),
    ahead: db.prepare(
      `SELECT count(*) AS n, count(*) FILTER (WHERE owner = mine.o) AS own
       FROM jobs JOIN (SELECT score AS s, id AS i, owner AS o FROM jobs WHERE id = ?) AS mine
       WHERE waiting = 1 AND (score, id) < (mine.s, mine.i)
         AND (owner IS NULL OR owner IS mine.o OR owner NOT IN (SELECT value FROM json_each(?)))`,
    ),
  };
  return {
    size: () => Number(sql.size.get()?.n ?? 0),
    first: limit => sql.first.all(limit).map(jobOf),
    among: ids => sql.among.all(JSON.stringify(ids)).map(jobOf),
    overdue: (createdBefore, limit) => sql.overdue.all(createdBefore, limit).map(jobOf),
    *candidates({ reached }) {
      const rows =
        reached.length === 0
          ? sql.candidates.iterate()
          : sql.candidatesBesides.iterate(JSON.stringify(reached));
      for (const row of rows) {
        const job = jobOf(row);
        yield candidateOf(job, Number(row.score), passedAt.get(job.id) ?? null);
      }
    },
    place({ id, owner }, running) {
      const limits = callers.limits(running);
      const row = sql.ahead.get(id, JSON.stringify(limits.reached));
      const limit = owner === null || limits.slots(owner) > 0 ? null : limits.of(owner);
      return {
        ahead: Number(row?.n ?? 0),
        limited: limit === null ? null : { limit, ahead: Number(row?.own ?? 0) },
      };
    },
    passedOver(ids, at) {
      for (const id of ids) passedAt.set(id, at);
    },
    left: id => passedAt.delete(id),
  };
}
