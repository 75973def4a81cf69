import type { DatabaseSync } from 'node:sqlite';
import type { Job } from '../../jobs/job.ts';
import type { Clock, KeptLanes, Lease } from '../../jobs/ports.ts';
import { jobOf } from './lists.ts';

/** The lanes with their leases, and the jobs in them. */
export interface LaneTable {
  /** Whether no other holder has taken the lane since. */
  isHeld(lease: Lease): boolean;
  /** See `Ledger.keepLanes`; to be used within a transaction. */
  keep(held: readonly Lease[], wanted: readonly string[], ttlMs: number): KeptLanes;
  release(lease: Lease): void;
  /** Whether the lane has a job. */
  isOccupied(lane: string): boolean;
  /** The jobs in the lanes whose names begin with `prefix`. */
  jobs(prefix: string): Job[];
  /** The jobs in lanes that have been free for `graceMs`. */
  stranded(graceMs: number): Job[];
  /** How many lanes have a job. */
  busy(): number;
}

/** Every lane is free at first: the process that held the file before is gone, since this one holds it now. */
export function createLaneTable(db: DatabaseSync, now: Clock): LaneTable {
  db.exec('UPDATE lanes SET expires_at = 0');
  const sql = {
    lane: db.prepare('SELECT token, expires_at FROM lanes WHERE lane = ?'),
    take: db.prepare(
      `INSERT INTO lanes (lane, token, expires_at) VALUES (?, 1, ?)
       ON CONFLICT (lane) DO UPDATE SET token = token + 1, expires_at = excluded.expires_at
       RETURNING token`,
    ),
    extend: db.prepare('UPDATE lanes SET expires_at = ? WHERE lane = ? AND token = ?'),
    job: db.prepare('SELECT request, state FROM jobs WHERE lane = ?'),
    occupied: db.prepare('SELECT 1 FROM jobs WHERE lane = ?'),
    jobs: db.prepare('SELECT request, state FROM jobs WHERE lane IS NOT NULL AND substr(lane, 1, ?) = ?'),
    stranded: db.prepare(
      `SELECT request, state FROM jobs LEFT JOIN lanes USING (lane)
       WHERE lane IS NOT NULL AND coalesce(lanes.expires_at, 0) < ?`,
    ),
    busy: db.prepare('SELECT count(*) AS n FROM jobs WHERE lane IS NOT NULL'),
  };
  return {
    isHeld: ({ lane, token }) => sql.lane.get(lane)?.token === token,
    keep(held, wanted, ttlMs) {
      const until = now() + ttlMs;
      const renew = ({ lane, token }: Lease) => sql.extend.run(until, lane, token).changes === 1;
      const lost = held.filter(lease => !renew(lease)).map(({ lane }) => lane);
      const isFree = (lane: string): boolean => Number(sql.lane.get(lane)?.expires_at ?? 0) <= now();
      const taken = wanted.filter(isFree).map(lane => {
        const token = Number(sql.take.get(lane, until)?.token);
        const left = sql.job.get(lane);
        return { lease: { lane, token }, job: left ? jobOf(left) : null };
      });
      return { lost, taken };
    },
    release({ lane, token }) {
      sql.extend.run(now(), lane, token);
    },
    isOccupied: lane => sql.occupied.get(lane) !== undefined,
    // `substr` counts code points.
    jobs: prefix => sql.jobs.all([...prefix].length, prefix).map(jobOf),
    stranded: graceMs => sql.stranded.all(now() - graceMs).map(jobOf),
    busy: () => Number(sql.busy.get()?.n ?? 0),
  };
}
