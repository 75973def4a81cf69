import type { DatabaseSync } from 'node:sqlite';
import type { RunningLimits } from '../../jobs/claims.ts';

/** The policies of callers, and how many of their jobs lanes hold. What writes is to be used within a transaction. */
export interface CallerTable {
  /** Null: it has none. */
  setPolicy(owner: string, policy: string | null): void;
  /** How many jobs of a caller lanes hold. */
  running(owner: string): number;
  /** See `Ledger.limited`. */
  limited(running: RunningLimits): number;
  /** What limits the callers now. The result is valid until a job or a policy changes. */
  limits(running: RunningLimits): CallerLimits;
}

export interface CallerLimits {
  /** The callers that are at their limit. */
  readonly reached: readonly string[];
  /** What a caller may have in lanes; null: any number. */
  of(owner: string): number | null;
  /** How many more jobs of a caller lanes may hold. */
  slots(owner: string): number;
}

/** Where no policy limits what runs. */
const NO_LIMITS: CallerLimits = { reached: [], of: () => null, slots: () => Number.POSITIVE_INFINITY };

export function createCallerTable(db: DatabaseSync): CallerTable {
  const read = db.prepare('SELECT policy FROM callers WHERE owner = ?');
  const put = db.prepare(
    `INSERT INTO callers (owner, policy) VALUES (?, ?)
     ON CONFLICT (owner) DO UPDATE SET policy = excluded.policy WHERE policy <> excluded.policy`,
  );
  const forget = db.prepare('DELETE FROM callers WHERE owner = ?');
  const held = db.prepare('SELECT count(*) AS n FROM jobs WHERE lane IS NOT NULL AND owner = ?');
  // A lane has one job, so these are few.
  const allHeld = db.prepare(
    `SELECT owner, policy, count(*) AS n FROM jobs JOIN callers USING (owner)
     WHERE lane IS NOT NULL GROUP BY owner, policy`,
  );
  // `+` keeps SQLite from reading all jobs in the order of their owners: those that wait are an index of their own.
  const allWaiting = db.prepare(
    `SELECT owner, n FROM (SELECT owner, count(*) AS n FROM jobs WHERE waiting = 1 GROUP BY +owner)
     WHERE owner IN (SELECT owner FROM callers)`,
  );

  function limitsOf(running: RunningLimits): CallerLimits {
    if (Object.keys(running).length === 0) return NO_LIMITS;
    const limitOf = (policy: unknown): number | null =>
      typeof policy === 'string' && Object.hasOwn(running, policy) ? (running[policy] ?? null) : null;
    const counts = new Map<string, number>();
    const reached: string[] = [];
    for (const row of allHeld.all()) {
      const [owner, limit, n] = [String(row.owner), limitOf(row.policy), Number(row.n)];
      counts.set(owner, n);
      if (limit !== null && n >= limit) reached.push(owner);
    }
    const known = new Map<string, number | null>();
    const of = (owner: string): number | null => {
      const cached = known.get(owner);
      if (cached !== undefined) return cached;
      const limit = limitOf(read.get(owner)?.policy);
      known.set(owner, limit);
      return limit;
    };
    const slots = (owner: string): number =>
      (of(owner) ?? Number.POSITIVE_INFINITY) - (counts.get(owner) ?? 0);
    return { reached, of, slots };
  }

  return {
    setPolicy(owner, policy) {
      if (policy === null) forget.run(owner);
      else put.run(owner, policy);
    },
    running: owner => Number(held.get(owner)?.n ?? 0),
    limited(running) {
      if (Object.keys(running).length === 0) return 0;
      const { slots } = limitsOf(running);
      return allWaiting
        .all()
        .reduce((sum, { owner, n }) => sum + Math.max(0, Number(n) - Math.max(0, slots(String(owner)))), 0);
    },
    limits: limitsOf,
  };
}
