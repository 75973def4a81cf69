import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { createListeners } from '../../concurrency/listeners.ts';
import type { Delivery } from '../../jobs/delivery.ts';
import type { Clock, Outbox } from '../../jobs/ports.ts';

/** The outbox with the methods that the ledger needs. */
export interface EmbeddedOutbox extends Outbox {
  /** Adds deliveries, due at once. Call it within the transaction that changes their job. */
  insert(deliveries: readonly Delivery[]): void;
  /** Calls the listeners. Call it after that transaction. */
  announce(): void;
  close(): void;
}

/** Keeps the outbox in the ledger's file, where deleting a job deletes its deliveries (`ON DELETE CASCADE`). */
export function createEmbeddedOutbox(db: DatabaseSync, now: Clock): EmbeddedOutbox {
  const listeners = createListeners();
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
    announce: listeners.call,
    async claim(limit, leaseMs) {
      const token = now() + leaseMs;
      const rows = sql.claim.all(token, now(), limit);
      // RETURNING has no order (https://sqlite.org/lang_returning.html, 2).
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
    onAdded: listeners.add,
    close: listeners.clear,
  };
}

/** Its form is not checked: only `insert` and `settle` write it. */
function deliveryOf(row: Record<string, SQLOutputValue>): Delivery {
  return JSON.parse(String(row.content));
}
