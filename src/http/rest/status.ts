import type { FastifyInstance, FastifyReply } from 'fastify';
import { isFinal, type Job } from '../../jobs/job.ts';
import { firstIssue } from '../../jobs/request.ts';
import type { RestOptions } from './context.ts';
import { statusQuery } from './contract/requests.ts';
import { jobNotFound, refuse } from './errors.ts';
import { findJob, type JobRequest } from './find-job.ts';
import { liveStatusOf } from './status-fields.ts';
import { createStatusTexts } from './status-texts.ts';

/** Where the status of a job is. */
export const STATUS_PATH = '/status/:job_id';

/** When to ask again about a job under way, in seconds. */
export const ASK_AGAIN_SECONDS = 1;

/**
 * GET `/status/{job_id}`. With `?wait=30` it answers at the job's next change, or after so many seconds; with
 * `?revision=` that change is counted from the revision that the caller knows.
 */
export function statusRoutes(app: FastifyInstance, options: RestOptions): void {
  const texts = createStatusTexts(options);

  app.get(STATUS_PATH, async (request: JobRequest, reply) => {
    const query = statusQuery.safeParse(request.query);
    if (!query.success) return refuse(reply, 400, firstIssue(query.error).message);
    const job = await findJob(options, request);
    if (job === null) return jobNotFound(reply);
    const { wait, revision = job.revision } = query.data;
    const here = wait === undefined || wait === 0 || job.revision > revision || isFinal(job.status);
    const newest = here ? job : await nextChange(job, revision, wait, reply);
    if (newest === null) return jobNotFound(reply);
    if (!isFinal(newest.status)) reply.header('retry-after', ASK_AGAIN_SECONDS);
    const live = wait !== undefined || query.data.revision !== undefined;
    if (live) return liveStatusOf(options, newest);
    const text = texts.of(newest);
    return reply.type('application/json; charset=utf-8').send(typeof text === 'string' ? text : await text);
  });

  /** The job at a later revision, or as it is when the time is over; null when it was deleted. */
  async function nextChange(
    job: Job,
    revision: number,
    seconds: number,
    reply: FastifyReply,
  ): Promise<Job | null> {
    const stream = await options.services.jobs.watch(job.id, options.callerOf(reply.request));
    if (stream === null) return null;
    let over = false;
    const leave = (): void => {
      over = true;
      void stream.return();
    };
    const timer = setTimeout(leave, seconds * 1000);
    reply.raw.once('close', leave);
    try {
      let newest = job;
      for await (const snapshot of stream) {
        newest = snapshot;
        if (snapshot.revision > revision) return newest;
      }
      return over || isFinal(newest.status) ? newest : null;
    } finally {
      clearTimeout(timer);
      reply.raw.off('close', leave);
      await stream.return();
    }
  }
}
