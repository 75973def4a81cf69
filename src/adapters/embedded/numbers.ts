import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import type { Job } from '../../jobs/job.ts';
import {
  type Change,
  type ChangesPage,
  type ChangesQuery,
  type Clock,
  REMOVALS_KEPT,
  REMOVALS_KEPT_MS,
} from '../../jobs/ports.ts';
import { NUMBERS_AHEAD, STEPS_AHEAD } from './ahead.ts';
import { jobOf } from './lists.ts';
import type { EmbeddedFeed } from './live.ts';

/** Numbers the changes of jobs, and publishes them in this order. */
export interface Numbers {
  /** Names the sequence (`ChangesPage`). */
  readonly sequence: string;
  /** The number of a change. Call it in the change's transaction; a number that is not used after all stays unused. */
  next(): number;
  /** `work` with the next number, to be run in a transaction. */
  give<T>(work: (number: number) => T): () => { readonly result: T; readonly number: number };
  /** Leaves out that many numbers. */
  skip(count: number): void;
  /** Remembers a removal. Call it in its transaction. */
  remember(jobId: string, owner: string | null, number: number): void;
  /** Call it when the transaction of a change has ended, in the order of the transactions: the change waits for `flushed`. */
  changed(job: Job, number: number): void;
  removed(jobId: string, owner: string | null, number: number): void;
  /**
   * The same for a step (`CommitKind`). Publishes it at once and returns true, unless that were too far ahead of the disk
   * (`passAhead`): then it waits, too.
   */
  stepped(job: Job, number: number): boolean;
  /** Publishes all changes up to this number that are not published yet. Call it when they are flushed. */
  flushed(number: number): void;
  changes(query: ChangesQuery): ChangesPage;
}

/** A change that is not published yet. */
interface Unflushed {
  readonly change: Change;
  readonly owner: string | null;
}

/** Continues after the highest number in the file. */
export function createNumbers(db: DatabaseSync, feed: EmbeddedFeed, now: Clock): Numbers {
  const sql = {
    last: db.prepare(
      `SELECT max(n) AS n FROM (
         SELECT max(number) AS n FROM jobs WHERE number > 0 UNION ALL SELECT max(number) FROM removals)`,
    ),
    sequence: db.prepare('SELECT name FROM sequence'),
    insert: db.prepare('INSERT INTO removals (number, owner, job_id) VALUES (?, ?, ?)'),
    forget: db.prepare('DELETE FROM removals WHERE number < ?'),
    count: db.prepare('SELECT count(*) AS n FROM removals'),
    oldest: db.prepare('SELECT min(number) AS n FROM removals'),
    // The oldest of those that are kept.
    nth: db.prepare(
      `SELECT number AS n FROM removals ORDER BY number DESC LIMIT 1 OFFSET ${REMOVALS_KEPT - 1}`,
    ),
    changed: db.prepare(`SELECT id, number, request, state FROM jobs WHERE ${AFTER}`),
    changedOf: db.prepare(`SELECT id, number, request, state FROM jobs WHERE owner = ? AND ${AFTER}`),
    removed: db.prepare(`SELECT job_id AS id, number FROM removals WHERE ${AFTER}`),
    removedOf: db.prepare(`SELECT job_id AS id, number FROM removals WHERE owner = ? AND ${AFTER}`),
  };
  const sequence = String(sql.sequence.get()?.name);
  // A position before the first change must be in time, too, or it would soon be too old.
  let last = Number(sql.last.get()?.n ?? now() * 1000);
  let removals = Number(sql.count.get()?.n ?? 0);
  let unflushed: Unflushed[] = [];
  /** The highest number that is known to be on the disk. Of the time before this start none is known. */
  let onDisk = Number.NEGATIVE_INFINITY;
  /** Steps that were published and may not be on the disk, and the number of the last one. */
  let steps = 0;
  let lastStep = Number.NEGATIVE_INFINITY;

  const kept = (): number => now() * 1000 - REMOVALS_KEPT_MS * 1000;

  function changeTo(job: Job, number: number): Unflushed {
    return { change: { jobId: job.id, number, job }, owner: job.owner };
  }

  function publish({ change, owner }: Unflushed): void {
    if (change.job === null) feed.gone(change.jobId);
    else feed.changed(change.job);
    feed.update(owner, change);
  }

  function next(): number {
    last = Math.max(last + 1, now() * 1000);
    return last;
  }

  return {
    sequence,
    next,
    give: work => () => {
      const number = next();
      return { result: work(number), number };
    },
    skip(count) {
      last += count;
    },
    remember(jobId, owner, number) {
      sql.insert.run(number, owner, jobId);
      removals += 1 - Number(sql.forget.run(kept()).changes);
      if (removals < REMOVALS_KEPT * 1.1) return;
      removals -= Number(sql.forget.run(Number(sql.nth.get()?.n ?? 0)).changes);
    },
    changed(job, number) {
      unflushed.push(changeTo(job, number));
    },
    removed(jobId, owner, number) {
      unflushed.push({ change: { jobId, number, job: null }, owner });
    },
    stepped(job, number) {
      const tooFar = steps >= STEPS_AHEAD || number - onDisk > NUMBERS_AHEAD;
      if (tooFar || unflushed.length > 0) {
        unflushed.push(changeTo(job, number));
        return false;
      }
      steps += 1;
      lastStep = number;
      publish(changeTo(job, number));
      return true;
    },
    flushed(number) {
      // Usually none or all of them. Their transactions ended in the order of their numbers.
      const end = unflushed.findIndex(({ change }) => change.number > number);
      const ready = end === -1 ? unflushed : unflushed.slice(0, end);
      unflushed = end === -1 ? [] : unflushed.slice(end);
      // `number` itself may be unused.
      onDisk = Math.max(onDisk, ready.at(-1)?.change.number ?? onDisk);
      if (lastStep <= number) {
        onDisk = Math.max(onDisk, lastStep);
        steps = 0;
      }
      for (const one of ready) publish(one);
    },
    changes({ owner, after, limit }) {
      const values: SQLInputValue[] = owner === null ? [after, limit] : [owner, after, limit];
      const changed = (owner === null ? sql.changed : sql.changedOf).all(...values);
      const removed = (owner === null ? sql.removed : sql.removedOf).all(...values);
      const changes = [
        ...changed.map(row => changeOf(row, jobOf(row))),
        ...removed.map(row => changeOf(row, null)),
      ];
      const oldest = removals < REMOVALS_KEPT ? 0 : Number(sql.oldest.get()?.n ?? 0);
      return {
        sequence,
        newest: last,
        forgotten: Math.max(kept(), oldest),
        changes: changes.sort((a, b) => a.number - b.number).slice(0, limit),
      };
    },
  };
}

/** As the partial indices need it. */
const AFTER = 'number > ? AND number > 0 ORDER BY number LIMIT ?';

function changeOf(row: Record<string, unknown>, job: Job | null): Change {
  return { jobId: String(row.id), number: Number(row.number), job };
}
