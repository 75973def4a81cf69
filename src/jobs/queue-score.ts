import type { Job, JobPriority } from './job.ts';

/** A job of a lower priority runs as if it had come this much later, so it is put off but never starved. */
const AGEING_MS = 10 * 60_000;

/**
 * A caller's next waiting job runs as if it had come this much later than the one before, so who asks for many jobs
 * at once takes turns with the others: an n-th job competes with the others' n-th jobs. Milliseconds.
 */
export const TURN_MS = 60_000;

const LEVELS: Record<JobPriority, number> = { HIGH: 0, NORMAL: 1, LOW: 2 };

/**
 * Where a job stands in the queue: the lowest runs first. It is settled at submit, where the ledger adds TURN_MS for
 * each job of the same owner that waits already, and kept for good, so a job that is lost goes back to its old place.
 */
export function queueScore(job: Job): number {
  return job.createdAt + LEVELS[job.priority] * AGEING_MS;
}
