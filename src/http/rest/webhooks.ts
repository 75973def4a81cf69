import type { FastifyInstance } from 'fastify';
import type { Delivery } from '../../jobs/webhook.ts';
import type { RestOptions } from './context.ts';
import type { DeliveriesAnswer } from './contract/responses.ts';
import { jobNotFound } from './errors.ts';
import { findJob, type JobRequest } from './find-job.ts';

/** GET `/webhooks/{job_id}`: what the job's webhook was told or is to be told. */
export function webhookRoutes(app: FastifyInstance, options: RestOptions): void {
  app.get('/webhooks/:job_id', async (request: JobRequest, reply) => {
    const job = await findJob(options, request);
    if (job === null) return jobNotFound(reply);
    const deliveries = await options.services.jobs.deliveries(job);
    return { deliveries: deliveries.map(fieldsOf) } satisfies DeliveriesAnswer;
  });
}

function fieldsOf(delivery: Delivery): DeliveriesAnswer['deliveries'][number] {
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

/** The enums of the domain are lower case in this face. */
function lower<Name extends string>(name: Name): Lowercase<Name>;
function lower(name: string): string {
  return name.toLowerCase();
}
