import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { isFinal, type Job } from '../../jobs/job.ts';
import type { JobStream } from '../../jobs/watch.ts';
import type { RestOptions } from './context.ts';
import { jobNotFound } from './errors.ts';
import { type JobRequest, jobIdOf } from './find-job.ts';
import { liveStatusOf } from './status-fields.ts';

/** How often a stream says that it is alive: proxies close what is silent, nginx after a minute. */
const ALIVE_MS = 12_000;

/**
 * GET `/events/{job_id}`: the fields of `/status` as server-sent events (HTML Living Standard, 9.2), now and with each
 * change, to the end of the job, which ends the stream. A browser's EventSource asks again when a stream ends, with the
 * id of the last event: when nothing can follow that, 204 tells it to stop.
 */
export function eventRoutes(app: FastifyInstance, options: RestOptions): void {
  app.get('/events/:job_id', { exposeHeadRoute: false }, async (request: JobRequest, reply) => {
    const id = jobIdOf(request);
    const caller = options.callerOf(request);
    const jobs = id === null ? null : await options.services.jobs.watch(id, caller);
    if (jobs === null) return jobNotFound(reply);
    const first = await jobs.next();
    const seen = lastEventId(request.headers['last-event-id']);
    if (first.done === true || (isFinal(first.value.status) && first.value.revision <= seen)) {
      await jobs.return();
      return reply.code(204).send();
    }
    reply.raw.once('close', () => void jobs.return());
    return reply
      .headers({
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache, no-transform',
        // For nginx, which would hold the events back otherwise.
        'x-accel-buffering': 'no',
      })
      .send(Readable.from(frames(options, first.value, seen, jobs), { objectMode: false, highWaterMark: 1 }));
  });
}

/** The revision of the last event that the caller has; 0 for none. */
function lastEventId(header: string | string[] | undefined): number {
  return typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : 0;
}

async function* frames(
  options: RestOptions,
  first: Job,
  seen: number,
  jobs: JobStream,
): AsyncGenerator<string, void> {
  try {
    // A comment at once: the headers go out, and the caller knows that somebody is there.
    yield ': watching\n\n';
    if (first.revision > seen) yield await frameOf(options, first);
    if (isFinal(first.status)) return;
    let next = jobs.next();
    for (;;) {
      const result = await orAlive(next);
      if (result === null) {
        yield ': alive\n\n';
        continue;
      }
      if (result.done === true) return;
      yield await frameOf(options, result.value);
      if (isFinal(result.value.status)) return;
      next = jobs.next();
    }
  } finally {
    await jobs.return();
  }
}

async function frameOf(options: RestOptions, job: Job): Promise<string> {
  return `id: ${job.revision}\ndata: ${JSON.stringify(await liveStatusOf(options, job))}\n\n`;
}

/** What the promise gives; null when that takes so long that a sign of life is due. */
async function orAlive<T>(promise: Promise<T>): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const due = new Promise<null>(resolve => {
    timer = setTimeout(resolve, ALIVE_MS, null);
  });
  try {
    return await Promise.race([promise, due]);
  } finally {
    clearTimeout(timer);
  }
}
