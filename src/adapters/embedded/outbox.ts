import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import type { Clock, Outbox } from '../../jobs/ports.ts';
import type { Delivery } from '../../jobs/webhook.ts';

/** The outbox, and what the ledger needs of it. */
export interface EmbeddedOutbox extends Outbox {
  /** Adds deliveries, due at once; to be called within the transaction that changes their job. */
  insert(deliveries: readonly Delivery[]): void;
  /** Tells the listeners, after that transaction. */
  announce(): void;
  close(): void;
}

/** Keeps the outbox in the ledger's file; its job's end takes a delivery along (`ON DELETE CASCADE`). */
export function createEmbeddedOutbox(db: DatabaseSync, now: Clock): EmbeddedOutbox {
  const listeners = new Set<() => void>();
  const sql = {
    insert: db.prepare('INSERT INTO deliveries (id, job_id, due_at, content) VALUES (?, ?, ?, ?)'),
    claim: db.prepare(
      `UPDATE deliveries SET due_at = ? WHERE number IN
         (SELECT number FROM deliveries WHERE due_at <= ? ORDER BY due_at, number LIMIT ?)
       RETURNING number, content`,
    ),
    settle: db.prepare('UPDATE deliveries SET due_at = ?, content = ? WHERE id = ? AND due_at = ?'),
    of: db.prepare('SELECT content FROM deliveries WHERE job_id = ? ORDER BY number'),
  };

  return {
    insert(deliveries) {
      for (const delivery of deliveries) {
        sql.insert.run(delivery.id, delivery.jobId, now(), JSON.stringify(delivery));
      }
    },
    announce() {
      for (const listener of listeners) listener();
    },
    async claim(limit, leaseMs) {
      const token = now() + leaseMs;
      const rows = sql.claim.all(token, now(), limit);
      // RETURNING keeps no order (https://sqlite.org/lang_returning.html, 2).
      rows.sort((one, other) => Number(one.number) - Number(other.number));
      return rows.map(row => ({ delivery: deliveryOf(row), token }));
    },
    async settle({ token }, next, delayMs) {
      const dueAt = delayMs === null ? null : now() + delayMs;
      return sql.settle.run(dueAt, JSON.stringify(next), next.id, token).changes === 1;
    },
    async of(jobId) {
      return sql.of.all(jobId).map(deliveryOf);
    },
    onAdded(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      listeners.clear();
    },
  };
}

/** Only what `insert` and `settle` wrote is ever read, so the form is known. */
function deliveryOf(row: Record<string, SQLOutputValue>): Delivery {
  return JSON.parse(String(row.content));
}
