import type { FastifyRequest } from 'fastify';
import type { Job } from '../../jobs/job.ts';
import type { RestOptions } from './context.ts';

/** A request about one job. */
export type JobRequest = FastifyRequest<{ Params: { job_id: string } }>;

/** Ids are UUIDs; whatever else is asked for is not worth a look into the store. */
const ID = /^[A-Za-z0-9_-]{1,64}$/;

/** The id of a path when a job can have it, else null. */
export function jobIdOf(request: JobRequest): string | null {
  const { job_id } = request.params;
  return ID.test(job_id) ? job_id : null;
}

/** The job that the path names; null when there is none that the caller may see. */
export function findJob(options: RestOptions, request: JobRequest): Promise<Job | null> {
  const id = jobIdOf(request);
  // Handed on: to wait for a promise that is returned costs a small answer three turns.
  return id === null ? Promise.resolve(null) : options.services.jobs.get(id, options.callerOf(request));
}
