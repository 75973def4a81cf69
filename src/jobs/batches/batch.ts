import { JOB_STATUSES, type Job, type JobStatus } from '../job.ts';

/** Most jobs of a batch. */
export const BATCH_LIMIT = 1_000;

/** A batch as submitted. */
export interface NewBatch {
  readonly id: string;
  readonly owner: string | null;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** How many jobs it was submitted with, 1 to BATCH_LIMIT. */
  readonly total: number;
}

/** A batch with the present states of its jobs. */
export interface Batch extends NewBatch {
  /** How many of its jobs have each status. Jobs that were removed have none. */
  readonly counts: Readonly<Record<JobStatus, number>>;
  /** The sum of `reachedBy` over the jobs that have not ended. */
  readonly reached: number;
  /** When the first of its runs started, in milliseconds since 1970; null: none has. */
  readonly startedAt: number | null;
}

/** What one job adds to its batch, in tenths of a percent of a job. */
export const WHOLE_JOB = 1_000;

/** How far a job that has not ended has ever been, in tenths of a percent. It does not fall when a run is lost. */
export function reachedBy({ progress, reached }: Pick<Job, 'progress' | 'reached'>): number {
  return Math.round(Math.max(progress, reached) * 10);
}

/** No jobs of any status. */
export function noCounts(): Record<JobStatus, number> {
  return { QUEUED: 0, PROCESSING: 0, COMPLETED: 0, ERROR: 0, CANCELED: 0 };
}

/** The jobs that have not ended. */
export function unfinishedOf({ counts }: Pick<Batch, 'counts'>): number {
  return counts.QUEUED + counts.PROCESSING;
}

/** The jobs whose records are gone. */
export function removedOf({ counts, total }: Pick<Batch, 'counts' | 'total'>): number {
  return total - JOB_STATUSES.reduce((sum, status) => sum + counts[status], 0);
}

/**
 * The mean progress of the jobs in percent, with one decimal. A job that has ended or was removed counts as 100, so it never
 * falls, and is 100 exactly when all have ended.
 */
export function progressOf(batch: Batch): number {
  const left = unfinishedOf(batch);
  if (left === 0) return 100;
  const done = (batch.total - left) * WHOLE_JOB + batch.reached;
  return Math.min(99.9, Math.floor(done / batch.total) / 10);
}

/**
 * Seconds until all jobs have ended, at the pace of the batch since its first run; null: less than half a job is done, which says
 * little of the pace, or all have ended. Jobs that were canceled or removed say nothing of the pace.
 */
export function etaOf(batch: Batch, now: number): number | null {
  const { counts, startedAt, reached } = batch;
  const left = unfinishedOf(batch) * WHOLE_JOB - reached;
  const done = (counts.COMPLETED + counts.ERROR) * WHOLE_JOB + reached;
  if (startedAt === null || unfinishedOf(batch) === 0 || done < WHOLE_JOB / 2) return null;
  const passed = Math.max(0, now - startedAt);
  return Math.round(((passed / done) * left) / 100) / 10;
}

/** Whether all of its jobs have ended. */
export function hasEnded(batch: Batch): boolean {
  return unfinishedOf(batch) === 0;
}
