import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { SECRET_BYTES, type Secrets } from '../../jobs/ports.ts';

/** The secrets, in a table of the job file. */
export function createEmbeddedSecrets(db: DatabaseSync): Secrets {
  const make = db.prepare('INSERT OR IGNORE INTO secrets (name, value) VALUES (?, ?)');
  const read = db.prepare('SELECT value FROM secrets WHERE name = ?');
  return {
    async read(name) {
      make.run(name, randomBytes(SECRET_BYTES));
      const value = read.get(name)?.value;
      if (!(value instanceof Uint8Array)) throw new Error(`The job file has no secret ${name}`);
      return Buffer.from(value);
    },
  };
}
