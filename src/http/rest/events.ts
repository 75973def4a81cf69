import type { FastifyInstance } from 'fastify';
import type { JobStream } from '../../jobs/changes.ts';
import { type Caller, isFinal, type Job } from '../../jobs/job.ts';
import { sendError, sendJobNotFound } from '../errors.ts';
import { endWith, framesOf, sendEvents } from '../event-stream.ts';
import { type JobRequest, jobIdOf, type RestOptions } from './context.ts';
import { eventsQuery } from './contract/events.ts';
import { readQuery } from './query.ts';
import { liveStatusOf } from './status-fields.ts';

/**
 * GET `/events/{job_id}`: the response of `/status` as server-sent events (HTML Living Standard, 9.2), now and at each
 * change, until the job ends. A stream that has to end before tells its client to come back. A browser's EventSource
 * reconnects when a stream ends, with the id of the last event: if nothing can follow that, 204 stops it.
 * `?previews=false` and `?max_per_second=` make events fewer.
 */
export function eventRoutes(app: FastifyInstance, options: RestOptions): void {
  const route = { exposeHeadRoute: false, config: { lifetime: 'stream' } } as const;
  app.get('/events/:job_id', route, async (request: JobRequest, reply) => {
    const query = readQuery(eventsQuery, request.query);
    if (!query.ok) return sendError(reply, 400, query.fault);
    const { previews, max_per_second: maxPerSecond } = query.value;
    const id = jobIdOf(request);
    const caller = options.callerOf(request);
    const jobs =
      id === null ? null : await options.services.jobs.watch(id, caller, { previews, maxPerSecond });
    if (jobs === null) return sendJobNotFound(reply);
    const first = await jobs.next();
    const seen = lastEventId(request.headers['last-event-id']);
    if (first.done === true || (isFinal(first.value.status) && first.value.revision <= seen)) {
      await jobs.return();
      return reply.code(204).send();
    }
    const ending = endWith(reply, jobs, options);
    return sendEvents(reply, frames(options, first.value, seen, jobs, caller, ending));
  });
}

/** The revision of the last event that the client has; 0: none. */
function lastEventId(header: string | string[] | undefined): number {
  return typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : 0;
}

async function* frames(
  options: RestOptions,
  first: Job,
  seen: number,
  jobs: JobStream,
  caller: Caller,
  ending: AbortSignal,
): AsyncGenerator<string, void> {
  try {
    // A comment, so that the headers are sent at once.
    yield ': watching\n\n';
    if (first.revision > seen) yield await frameOf(options, first, caller);
    if (isFinal(first.status)) return;
    yield* framesOf(jobs, job => frameOf(options, job, caller), ending);
  } finally {
    await jobs.return();
  }
}

async function frameOf(options: RestOptions, job: Job, caller: Caller): Promise<string> {
  return `id: ${job.revision}\ndata: ${JSON.stringify(await liveStatusOf(options, job, caller))}\n\n`;
}
