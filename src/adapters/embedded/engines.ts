import type { DatabaseSync } from 'node:sqlite';
import { createListeners } from '../../concurrency/listeners.ts';
import { engineContent, isBlank, readEngineRecord, type StoredEngine } from '../../jobs/engines.ts';
import type { Clock, EngineRecords } from '../../jobs/ports.ts';

/** The records of engines, in a table of the job file. `flush` resolves once changes survive the process. */
export function createEmbeddedEngines(
  db: DatabaseSync,
  now: Clock,
  flush: () => Promise<void>,
): EngineRecords {
  const listeners = createListeners();
  const sql = {
    read: db.prepare('SELECT id, revision, expires_at, content FROM engines ORDER BY id'),
    get: db.prepare('SELECT id, revision, expires_at, content FROM engines WHERE id = ?'),
    insert: db.prepare(
      'INSERT OR IGNORE INTO engines (revision, expires_at, content, id) VALUES (?, ?, ?, ?)',
    ),
    update: db.prepare(
      'UPDATE engines SET revision = ?, expires_at = ?, content = ? WHERE id = ? AND revision = ?',
    ),
    remove: db.prepare('DELETE FROM engines WHERE id = ? AND revision = ?'),
  };

  function stored(row: Record<string, unknown>): StoredEngine {
    return {
      record: readEngineRecord(String(row.id), Number(row.revision), String(row.content)),
      leftMs: row.expires_at === null ? null : Number(row.expires_at) - now(),
    };
  }

  return {
    async read() {
      return sql.read.all().map(stored);
    },
    async get(id) {
      const row = sql.get.get(id);
      return row === undefined ? null : stored(row);
    },
    async commit(record, { quietly = false } = {}) {
      const { id, revision, ttlMs } = record;
      // Nothing is to be removed.
      if (isBlank(record) && revision === 0) return sql.get.get(id) === undefined;
      const columns = [
        revision + 1,
        ttlMs === null ? null : now() + ttlMs,
        engineContent(record),
        id,
      ] as const;
      const { changes } = isBlank(record)
        ? sql.remove.run(id, revision)
        : revision === 0
          ? sql.insert.run(...columns)
          : sql.update.run(...columns, revision);
      if (changes !== 1) return false;
      await flush();
      if (!quietly) listeners.call();
      return true;
    },
    onChange: listeners.add,
  };
}
