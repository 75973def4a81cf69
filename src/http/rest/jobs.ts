import type { FastifyInstance } from 'fastify';
import { cursorOf } from '../../jobs/cursor.ts';
import type { Delivery } from '../../jobs/delivery.ts';
import type { Job } from '../../jobs/job.ts';
import { sendError, sendJobNotFound } from '../errors.ts';
import { isOfForeignPage } from '../limits/cross-site.ts';
import { findJob, type JobRequest, jobIdOf, type RestOptions } from './context.ts';
import { type JobsQuery, jobsQuery, LIST_LIMIT } from './contract/requests.ts';
import type { DeliveriesResponse, JobsResponse } from './contract/responses.ts';
import { readQuery } from './query.ts';
import { POLL_SECONDS } from './status.ts';
import { jobStatuses, listedJob, statusOf } from './status-fields.ts';

/** GET `/jobs`, DELETE `/jobs/{job_id}`, POST `/jobs/{job_id}/cancel`, GET `/preview/{job_id}` and GET `/webhooks/{job_id}`. */
export function jobsRoutes(app: FastifyInstance, options: RestOptions): void {
  const { jobs, previews } = options.services;

  app.get('/jobs', async (request, reply) => {
    const query = readQuery(jobsQuery, withMetadata(request.query));
    if (!query.ok) return sendError(reply, 400, query.fault);
    const { limit = LIST_LIMIT, after = null, status, label = null, metadata = {} } = query.value;
    const statuses = jobStatuses(status);
    const page = await jobs.list(
      {
        statuses,
        labels: { label, metadata },
        first: limit,
        after,
      },
      options.callerOf(request),
    );
    const last = page.jobs.at(-1);
    const next = page.hasMore && last !== undefined ? nextPage(query.value, last) : null;
    if (next !== null) reply.header('link', `<${next}>; rel="next"`);
    const isPage = Object.keys(query.value).length > 0;
    return {
      jobs: Object.fromEntries(page.jobs.map(job => [job.id, listedJob(job)])),
      ...(isPage && next !== null ? { next } : {}),
    } satisfies JobsResponse;
  });

  app.delete('/jobs/:job_id', async (request: JobRequest, reply) => {
    const id = jobIdOf(request);
    if (id === null || !(await jobs.remove(id, options.callerOf(request)))) return sendJobNotFound(reply);
    return { message: 'Job deleted' };
  });

  app.post('/jobs/:job_id/cancel', async (request: JobRequest, reply) => {
    // A form needs no preflight, so a page of another origin could send one.
    if (isOfForeignPage(request.headers, options.origins)) {
      return sendError(reply, 403, 'Requests of other sites are not accepted, except those in CORS_ORIGINS');
    }
    const id = jobIdOf(request);
    const outcome = id === null ? null : await jobs.cancel(id, options.callerOf(request));
    if (outcome === null || outcome.kind === 'not-found') return sendJobNotFound(reply);
    // The engine has not stopped in time: the job ends as soon as it does.
    if (outcome.kind === 'pending') reply.code(202).header('retry-after', POLL_SECONDS);
    return statusOf(options, outcome.job, options.callerOf(request));
  });

  app.get('/preview/:job_id', { config: { signed: true } }, async (request: JobRequest, reply) => {
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

const METADATA = 'metadata.';

/** The query with its parameters `metadata.<key>` as one object, `metadata`. */
function withMetadata(query: unknown): unknown {
  const given = Object.entries(query ?? {});
  const entries = given.filter(([name]) => name.startsWith(METADATA));
  if (entries.length === 0) return query;
  return Object.fromEntries([
    ...given.filter(([name]) => !name.startsWith(METADATA)),
    ['metadata', Object.fromEntries(entries.map(([name, value]) => [name.slice(METADATA.length), value]))],
  ]);
}

/** The path of the page that follows a job, with the limit and the filter of this one. */
function nextPage({ limit, status, label, metadata = {} }: JobsQuery, last: Job): string {
  const query = new URLSearchParams({
    ...(limit === undefined ? {} : { limit: String(limit) }),
    ...(status === undefined ? {} : { status: status.join(',') }),
    ...(label === undefined ? {} : { label }),
    ...Object.fromEntries(Object.entries(metadata).map(([key, value]) => [METADATA + key, value])),
    after: cursorOf(last),
  });
  return `/jobs?${query}`;
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
