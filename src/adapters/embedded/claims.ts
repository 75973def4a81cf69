import { advance } from '../../jobs/advance.ts';
import {
  type Assignment,
  assign,
  type ClaimRequest,
  type ClaimResult,
  choosingLanes,
  claimedBy,
  lanesOf,
} from '../../jobs/claims.ts';
import type { Job } from '../../jobs/job.ts';
import type { CommitResult, Lease } from '../../jobs/ports.ts';
import type { CallerTable } from './callers.ts';
import type { LaneTable } from './lanes.ts';
import type { Numbers } from './numbers.ts';
import type { Queue } from './queue.ts';
import type { JobRows } from './rows.ts';

/** What a claim did in its transaction. */
export interface Claimed {
  /** Each with the number of its change, in the order of these. */
  readonly claimed: readonly (ClaimResult['claimed'][number] & { readonly number: number })[];
  /** Jobs that were passed over for the first time. */
  readonly passed: Assignment['passed'];
  /** The callers that are at their limit after it. */
  readonly atLimit: readonly string[];
  readonly rest: Omit<ClaimResult, 'claimed'>;
}

/** Claims jobs for idle lanes: by `assign`, from what the tables say. To be used within a transaction. */
export function createClaims(tables: {
  readonly lanes: LaneTable;
  readonly callers: CallerTable;
  readonly queue: Queue;
  readonly rows: JobRows;
  readonly numbers: Numbers;
  /** Stores the change of a job with its number. */
  readonly commit: (next: Job, number: number, fromRevision: number, lease: Lease) => CommitResult;
}): (request: ClaimRequest) => Claimed {
  const { lanes, callers, queue, rows, numbers, commit } = tables;
  return ({ lanes: asking, idle, at, patienceMs, running = {} }) => {
    const held = asking.filter(({ lease }) => lanes.isHeld(lease));
    const valid = held.filter(({ lease }) => !lanes.isOccupied(lease.lane));
    const occupied = held.filter(lane => !valid.includes(lane)).map(({ lease }) => lease.lane);
    const able = valid.filter(({ engine }) => !lanes.jobs(lanesOf(engine)).some(({ suspect }) => suspect));
    const choosing = choosingLanes(able, { lanes: asking, idle });
    const limits = callers.limits(running);
    const waiting = queue.candidates(limits);
    const { chosen, passed, againAt, more } = assign(choosing, waiting, at, patienceMs, limits.slots);
    const claimed = chosen.flatMap(({ lane: index, job: id }) => {
      const lane = able[index];
      const before = rows.get(id);
      if (lane === undefined || before === null) return [];
      const job = advance(before, claimedBy(lane, at));
      const number = numbers.next();
      return commit(job, number, before.revision, lane.lease) === 'ok'
        ? [{ lane: lane.lease.lane, before, job, number }]
        : [];
    });
    return {
      claimed,
      passed,
      atLimit: callers.limits(running).reached,
      rest: { againAt, more, blocked: able.length < valid.length, occupied },
    };
  };
}
