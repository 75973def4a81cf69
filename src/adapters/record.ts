import { type EditRequest, isWaiting, type Job } from '../jobs/job.ts';

/** A row of `jobs` as SQLite gives it back. */
export interface JobRow {
  readonly request: string;
  readonly state: string;
}

/** The part of a job that changes, as JSON. */
export function encodeState(job: Job): string {
  const { request: _, ...state } = job;
  return JSON.stringify(state);
}

/** A job from its two halves. Only what `encodeState` wrote is ever read, so the form is known. */
export function decodeJob(row: JobRow): Job {
  const state: Omit<Job, 'request'> = JSON.parse(row.state);
  const request: EditRequest | EarlierRequest = JSON.parse(row.request);
  return { ...state, request: 'webhook' in request ? request : { ...request, webhook: null } };
}

/** As it was stored before there were webhooks. */
type EarlierRequest = Omit<EditRequest, 'webhook'>;

/** The columns that queries look at. */
export function columnsOf(job: Job): {
  revision: number;
  status: string;
  waiting: number;
  lane: string | null;
  expiresAt: number | null;
} {
  return {
    revision: job.revision,
    status: job.status,
    waiting: isWaiting(job) ? 1 : 0,
    lane: job.lane,
    expiresAt: job.expiresAt,
  };
}
