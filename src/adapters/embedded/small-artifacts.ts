import type { DatabaseSync } from 'node:sqlite';
import type { StoredArtifact } from '../../jobs/image-stores.ts';
import type { Clock } from '../../jobs/ports.ts';
import type { GroupCommit } from './group-commit.ts';

/** Artifacts of a few kilobytes, in the file of the ledger. Keys were checked before. */
export interface SmallArtifacts {
  /** Stores or replaces an artifact. It is flushed with the next change of the ledger that is. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  get(key: string): Uint8Array | null;
  /** Bytes; null if there is none. */
  size(key: string): number | null;
  /** Writes also when there is none. */
  remove(key: string): Promise<void>;
  /** Every stored key below the prefix. */
  list(prefix: string): StoredArtifact[];
}

/** The character after the slash: everything below `a` is between `a/` and `a0`. */
const AFTER_SLASH = '0';

/** Keeps them in a table of the job file. */
export function createEmbeddedSmallArtifacts(
  db: DatabaseSync,
  group: GroupCommit,
  now: Clock,
): SmallArtifacts {
  const sql = {
    put: db.prepare(
      `INSERT INTO artifacts (key, bytes, modified_at) VALUES (?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes, modified_at = excluded.modified_at`,
    ),
    get: db.prepare('SELECT bytes FROM artifacts WHERE key = ?'),
    size: db.prepare('SELECT length(bytes) AS n FROM artifacts WHERE key = ?'),
    remove: db.prepare('DELETE FROM artifacts WHERE key = ?'),
    all: db.prepare('SELECT key, length(bytes) AS n, modified_at FROM artifacts'),
    below: db.prepare(
      'SELECT key, length(bytes) AS n, modified_at FROM artifacts WHERE key >= ? AND key < ?',
    ),
  };
  return {
    async put(key, bytes) {
      await group.run(() => sql.put.run(key, bytes, now()));
    },
    get(key) {
      const bytes = sql.get.get(key)?.bytes;
      return bytes instanceof Uint8Array ? bytes : null;
    },
    size(key) {
      const found = sql.size.get(key);
      return found === undefined ? null : Number(found.n);
    },
    async remove(key) {
      await group.run(() => sql.remove.run(key));
    },
    list(prefix) {
      const rows = prefix === '' ? sql.all.all() : sql.below.all(`${prefix}/`, `${prefix}${AFTER_SLASH}`);
      return rows.map(({ key, n, modified_at: at }) => ({
        key: String(key),
        bytes: Number(n),
        modifiedAt: Number(at),
      }));
    },
  };
}
