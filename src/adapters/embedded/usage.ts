import type { DatabaseSync } from 'node:sqlite';
import { dayOf } from '../../jobs/limits.ts';
import type { Clock } from '../../jobs/ports.ts';

/** The work that callers have submitted today. To be used within a transaction. */
export interface UsageTable {
  /** In thousandths of megapixel-steps. */
  work(owner: string): number;
  add(owner: string, work: number): void;
}

/** Keeps a row for each caller and day; the first of a day removes those of the days before. */
export function createUsageTable(db: DatabaseSync, now: Clock): UsageTable {
  const read = db.prepare('SELECT work FROM usage WHERE day = ? AND owner = ?');
  const add = db.prepare(
    `INSERT INTO usage (day, owner, work) VALUES (?, ?, ?)
     ON CONFLICT (day, owner) DO UPDATE SET work = work + excluded.work`,
  );
  const prune = db.prepare('DELETE FROM usage WHERE day < ?');
  let pruned = 0;
  return {
    work: owner => Number(read.get(dayOf(now()), owner)?.work ?? 0),
    add(owner, work) {
      const day = dayOf(now());
      add.run(day, owner, work);
      if (day === pruned) return;
      prune.run(day);
      pruned = day;
    },
  };
}
