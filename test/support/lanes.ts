import { type AskingLane, type ClaimResult, type IdleLanes, NO_INABILITY } from '../../src/jobs/claims.ts';
import type { Job } from '../../src/jobs/job.ts';
import type { Lease, Ledger } from '../../src/jobs/ports.ts';

/** Takes a lane if it is free, with the job that its last holder left. */
export async function acquireLane(
  ledger: Ledger,
  lane: string,
  ttlMs: number,
): Promise<{ lease: Lease; job: Job | null } | null> {
  return (await ledger.keepLanes([], [lane], ttlMs)).taken[0] ?? null;
}

/** Whether the lane is still held. */
export async function renewLane(ledger: Ledger, lease: Lease, ttlMs: number): Promise<boolean> {
  return (await ledger.keepLanes([lease], [], ttlMs)).lost.length === 0;
}

/** Idle lanes of idle engines that can run everything and have nothing loaded. */
export const idleLanes = (engines: number): IdleLanes => ({
  cannot: NO_INABILITY,
  engines,
  spare: 0,
  warm: {},
});

/** A lane of an idle engine that can run everything and has nothing loaded. */
export function asking(lease: Lease, fields: Partial<AskingLane> = {}): AskingLane {
  return {
    lease,
    engine: lease.lane.slice(0, lease.lane.lastIndexOf('#')),
    promptId: 'p',
    group: 0,
    alone: true,
    warm: [],
    othersCannot: [],
    ...fields,
  };
}

/** Asks for jobs for the lanes as a gateway does that has no other idle engines than theirs, all alike. */
export function claimFor(ledger: Ledger, lanes: readonly AskingLane[], at = 5): Promise<ClaimResult> {
  const idle = [idleLanes(lanes.filter(({ alone }) => alone).length)];
  return ledger.claim({ at, lanes, idle, woken: 0, patienceMs: 30_000 });
}
