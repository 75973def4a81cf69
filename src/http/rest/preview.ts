import type { FastifyInstance } from 'fastify';
import type { RestOptions } from './context.ts';
import { jobNotFound, refuse } from './errors.ts';
import { findJob, type JobRequest } from './find-job.ts';

/** GET `/preview/{job_id}`: the newest preview frame of a running job. */
export function previewRoutes(app: FastifyInstance, options: RestOptions): void {
  app.get('/preview/:job_id', async (request: JobRequest, reply) => {
    reply.header('cache-control', options.keepPrivate ? 'private, no-store' : 'no-store');
    const job = await findJob(options, request);
    if (job === null) return jobNotFound(reply);
    const frame = await options.services.previews.get(job.id);
    if (frame === null) return refuse(reply, 404, 'No preview');
    return reply.type(frame.mimeType).send(Buffer.from(frame.bytes));
  });
}
