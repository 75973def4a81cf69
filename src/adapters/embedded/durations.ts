import type { DatabaseSync } from 'node:sqlite';
import type { Clock, Durations } from '../../jobs/ports.ts';
import { readDurations } from '../../jobs/progress/durations.ts';
import { ENGINES_KEPT } from '../record.ts';

/** Keeps the durations in a table of the ledger's file. They are not flushed: a power cut may cost the newest. */
export function createEmbeddedDurations(db: DatabaseSync, now: Clock): Durations {
  const sql = {
    all: db.prepare('SELECT content FROM durations ORDER BY put_at DESC, engine DESC'),
    of: db.prepare('SELECT content FROM durations WHERE engine = ?'),
    put: db.prepare('INSERT OR REPLACE INTO durations (engine, put_at, content) VALUES (?, ?, ?)'),
    trim: db.prepare(
      'DELETE FROM durations WHERE engine IN (SELECT engine FROM durations ORDER BY put_at DESC, engine DESC LIMIT -1 OFFSET ?)',
    ),
  };
  return {
    async all() {
      return sql.all.all().flatMap(({ content }) => readDurations(String(content)) ?? []);
    },
    async of(engine) {
      const row = sql.of.get(engine);
      return row === undefined ? null : readDurations(String(row.content));
    },
    async put(durations) {
      sql.put.run(durations.engine, now(), JSON.stringify(durations));
      sql.trim.run(ENGINES_KEPT);
    },
  };
}
