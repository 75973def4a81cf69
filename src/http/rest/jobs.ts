import type { FastifyInstance } from 'fastify';
import type { Delivery } from '../../jobs/delivery.ts';
import type { Job } from '../../jobs/job.ts';
import { sendError, sendJobNotFound } from '../errors.ts';
import { findJob, type JobRequest, jobIdOf, type RestOptions } from './context.ts';
import type { DeliveriesResponse, JobsResponse } from './contract/responses.ts';
import { restProgress, restStatus } from './status-fields.ts';

/** How many jobs a response lists at most: the newest. */
export const LIST_LIMIT = 1000;

/** GET `/jobs`, DELETE `/jobs/{job_id}`, GET `/preview/{job_id}` and GET `/webhooks/{job_id}`. */
export function jobsRoutes(app: FastifyInstance, options: RestOptions): void {
  const { jobs, previews } = options.services;

  app.get('/jobs', async request => {
    const page = await jobs.list(
      { statuses: null, first: LIST_LIMIT, after: null },
      options.callerOf(request),
    );
    return {
      jobs: Object.fromEntries(
        page.jobs.map(job => [
          job.id,
          { status: restStatus(job), progress: restProgress(job), ...labelsOf(job) },
        ]),
      ),
    } satisfies JobsResponse;
  });

  app.delete('/jobs/:job_id', async (request: JobRequest, reply) => {
    const id = jobIdOf(request);
    if (id === null || !(await jobs.remove(id, options.callerOf(request)))) return sendJobNotFound(reply);
    return { message: 'Job deleted' };
  });

  app.get('/preview/:job_id', async (request: JobRequest, reply) => {
    reply.header('cache-control', options.keepPrivate ? 'private, no-store' : 'no-store');
    const job = await findJob(options, request);
    if (job === null) return sendJobNotFound(reply);
    const frame = await previews.get(job.id);
    if (frame === null) return sendError(reply, 404, 'No preview');
    return reply.type(frame.mimeType).send(Buffer.from(frame.bytes));
  });

  app.get('/webhooks/:job_id', async (request: JobRequest, reply) => {
    const job = await findJob(options, request);
    if (job === null) return sendJobNotFound(reply);
    const deliveries = await jobs.deliveries(job);
    return { deliveries: deliveries.map(deliveryFields) } satisfies DeliveriesResponse;
  });
}

/** A job without labels is listed with the fields of the REST contract alone. */
function labelsOf({
  request: { label, metadata },
}: Job): Pick<JobsResponse['jobs'][string], 'label' | 'metadata'> {
  return {
    ...(label === null ? {} : { label }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata: { ...metadata } }),
  };
}

function deliveryFields(delivery: Delivery): DeliveriesResponse['deliveries'][number] {
  return {
    id: delivery.id,
    event: lower(delivery.event),
    status: lower(delivery.status),
    attempts: delivery.attempts.map(({ at, tookMs, statusCode, error }) => ({
      at: new Date(at).toISOString(),
      took_ms: tookMs,
      status_code: statusCode,
      error,
    })),
    next_attempt_at: delivery.nextAttemptAt === null ? null : new Date(delivery.nextAttemptAt).toISOString(),
  };
}

/** REST spells the domain's enums in lower case. */
function lower<Name extends string>(name: Name): Lowercase<Name>;
function lower(name: string): string {
  return name.toLowerCase();
}
