import type { Job } from './job.ts';

/** Lines of a job's history that are kept; the oldest are dropped. */
export const LOG_LIMIT = 60;

/** What a job has only while a lane runs it. */
const idle = {
  lane: null,
  live: null,
  step: null,
  totalSteps: null,
  queuePosition: null,
  etaSeconds: null,
  waitCode: null,
  preview: null,
};

/** The job at its end, with a line in its log. */
export function finish(
  job: Job,
  event: { type: string; at: number; expiresAt: number },
  status: 'COMPLETED' | 'ERROR' | 'CANCELED',
  detail: string | null,
  fields: Partial<Job>,
): Job {
  return change(job, event, detail, {
    ...idle,
    stage: null,
    ...fields,
    status,
    finishedAt: event.at,
    expiresAt: event.expiresAt,
  });
}

/** The job in the queue again, without what its run had, and with a line in its log. */
export function backToQueue(
  job: Job,
  event: { type: string; at: number },
  reason: string,
  fields: Partial<Job>,
): Job {
  return change(job, event, reason, {
    ...idle,
    stage: null,
    progress: 0,
    reached: Math.max(job.reached, job.progress),
    engine: null,
    clientId: null,
    promptId: null,
    startedAt: null,
    ...fields,
    status: 'QUEUED',
  });
}

/** The job with these fields, a line in its log and the next revision. */
export function change(
  job: Job,
  event: { type: string; at: number },
  detail: string | null,
  fields: Partial<Job>,
): Job {
  const log = [...job.log, { at: event.at, event: event.type, detail }].slice(-LOG_LIMIT);
  return { ...job, ...fields, log, revision: job.revision + 1 };
}
