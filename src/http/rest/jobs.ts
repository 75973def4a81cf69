import type { FastifyInstance } from 'fastify';
import type { RestOptions } from './context.ts';
import type { JobsAnswer } from './contract/responses.ts';
import { jobNotFound } from './errors.ts';
import { type JobRequest, jobIdOf } from './find-job.ts';
import { restProgress, restStatus } from './status-fields.ts';

/** How many jobs, the newest, one answer lists. */
export const LIST_LIMIT = 1000;

/** GET `/jobs` and DELETE `/jobs/{job_id}`. */
export function jobsRoutes(app: FastifyInstance, options: RestOptions): void {
  const { jobs } = options.services;

  app.get('/jobs', async request => {
    const page = await jobs.list(
      { statuses: null, first: LIST_LIMIT, after: null },
      options.callerOf(request),
    );
    return {
      jobs: Object.fromEntries(
        page.jobs.map(job => [job.id, { status: restStatus(job), progress: restProgress(job) }]),
      ),
    } satisfies JobsAnswer;
  });

  app.delete('/jobs/:job_id', async (request: JobRequest, reply) => {
    const id = jobIdOf(request);
    if (id === null || !(await jobs.remove(id, options.callerOf(request)))) return jobNotFound(reply);
    return { message: 'Job deleted' };
  });
}
