import type { DatabaseSync } from 'node:sqlite';
import type { Drains } from '../../jobs/ports.ts';
import { createListeners } from '../listeners.ts';

/** The drained engines, in a table of the job file. `flush` resolves once changes survive the process. */
export function createEmbeddedDrains(db: DatabaseSync, flush: () => Promise<void>): Drains {
  const listeners = createListeners();
  const sql = {
    read: db.prepare('SELECT engine FROM drained_engines'),
    add: db.prepare('INSERT OR IGNORE INTO drained_engines (engine) VALUES (?)'),
    remove: db.prepare('DELETE FROM drained_engines WHERE engine = ?'),
  };
  return {
    async read() {
      return new Set(sql.read.all().map(row => String(row.engine)));
    },
    async set(engine, drained) {
      (drained ? sql.add : sql.remove).run(engine);
      await flush();
      listeners.call();
    },
    onChange: listeners.add,
  };
}
