import type { FastifyInstance } from 'fastify';
import { jobNotFound } from './errors.ts';
import { findJob, type JobRequest } from './find-job.ts';
import type { RestOptions } from './options.ts';
import { statusOf } from './status-fields.ts';

/** GET `/status/{job_id}`. */
export function statusRoutes(app: FastifyInstance, options: RestOptions): void {
  app.get('/status/:job_id', async (request: JobRequest, reply) => {
    const job = await findJob(options, request);
    if (job === null) return jobNotFound(reply);
    return statusOf(options, job);
  });
}
