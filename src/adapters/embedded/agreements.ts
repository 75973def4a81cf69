import type { DatabaseSync } from 'node:sqlite';
import type { Agreements, Clock } from '../../jobs/ports.ts';

/** The texts that gateways agree on, in a table of the job file. `flush` resolves once changes survive the process. */
export function createEmbeddedAgreements(
  db: DatabaseSync,
  now: Clock,
  flush: () => Promise<void>,
): Agreements {
  const read = db.prepare('SELECT content FROM agreements WHERE name = ?');
  const insert = db.prepare('INSERT OR IGNORE INTO agreements (content, name) VALUES (?, ?)');
  const update = db.prepare('UPDATE agreements SET content = ? WHERE name = ? AND content = ?');
  return {
    async read(name) {
      const content = read.get(name)?.content;
      return { text: content === undefined ? null : String(content), at: now() };
    },
    async replace(name, before, after) {
      const { changes } = before === null ? insert.run(after, name) : update.run(after, name, before);
      if (changes !== 1) return false;
      await flush();
      return true;
    },
  };
}
