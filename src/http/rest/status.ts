import type { FastifyInstance, FastifyReply } from 'fastify';
import { LRUCache } from 'lru-cache';
import { type Caller, isFinal, isWaiting, type Job } from '../../jobs/job.ts';
import type { Judged } from '../access/gate.ts';
import { onceClosed } from '../closed.ts';
import { type Direct, type DirectResponse, sendDirect } from '../direct.ts';
import { sendError, sendJobNotFound } from '../errors.ts';
import { findJob, type JobRequest, type RestOptions } from './context.ts';
import { statusQuery } from './contract/requests.ts';
import { readQuery } from './query.ts';
import { describeStatus, liveStatusOf, type Surroundings, surroundingsOf } from './status-fields.ts';

/** Seconds after which a client should poll an unfinished job again. */
export const POLL_SECONDS = 1;
/** Number of jobs whose response is cached: those that are polled again and again. */
const CACHED_JOBS = 500;
/** The usual request: an id alone, as `jobIdOf` takes it. */
const JOB_URL = /^\/status\/[A-Za-z0-9_-]{1,64}$/;
const FINAL = ['content-type', 'application/json; charset=utf-8'];
const UNFINISHED = [...FINAL, 'retry-after', String(POLL_SECONDS)];
/** How long the response of a completed job is reused without checking that its image is still stored. */
const RECHECK_MS = 1_000;

/**
 * GET `/status/{job_id}`. `?wait=30` delays the response until the job changes, for at most 30 seconds. With `?revision=`
 * a change is any later revision than that.
 */
export function statusRoutes(app: FastifyInstance, options: RestOptions): void {
  const cache = createStatusCache(options);

  /** The state of a job as it is now. A promise only where something has to be looked up. */
  function describe(job: Job, caller: Caller): DirectResponse | Promise<DirectResponse> {
    const text = cache.textOf(job, caller);
    return typeof text === 'string' ? responseOf(job, text) : text.then(found => responseOf(job, found));
  }

  const direct: Direct = {
    matches: ({ url = '' }) => JOB_URL.test(url),
    answer(request) {
      const caller = options.callerOf({ raw: request });
      const id = (request.url ?? '').slice('/status/'.length);
      return options.services.jobs.get(id, caller).then(job => (job === null ? null : describe(job, caller)));
    },
  };
  const lifetime = (request: Judged) => (waits(request) ? 'stream' : 'short');
  const config = { lifetime, direct } as const;

  app.get('/status/:job_id', { config }, async (request: JobRequest, reply) => {
    const query = readQuery(statusQuery, request.query);
    if (!query.ok) return sendError(reply, 400, query.fault);
    const job = await findJob(options, request);
    if (job === null) return sendJobNotFound(reply);
    const { wait, revision = job.revision } = query.value;
    const atOnce = wait === undefined || wait === 0 || job.revision > revision || isFinal(job.status);
    const newest = atOnce ? job : await nextChange(job, revision, wait, reply);
    if (newest === null) return sendJobNotFound(reply);
    const live = wait !== undefined || query.value.revision !== undefined;
    if (live) {
      const status = await liveStatusOf(options, newest, options.callerOf(request));
      return sendDirect(reply, responseOf(newest, JSON.stringify(status)));
    }
    return sendDirect(reply, await describe(newest, options.callerOf(request)));
  });

  /** The job at a later revision than `revision`, or unchanged after `seconds`; null: it was deleted. */
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
    onceClosed(reply.raw, leave);
    const ending = options.endingOf(reply.raw);
    ending.addEventListener('abort', leave);
    if (ending.aborted) leave();
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
      ending.removeEventListener('abort', leave);
      await stream.return();
    }
  }
}

function responseOf(job: Job, body: string): DirectResponse {
  return { status: 200, headers: isFinal(job.status) ? FINAL : UNFINISHED, body };
}

function waits({ query }: Judged): boolean {
  return typeof query === 'object' && query !== null && 'wait' in query;
}

interface Cached extends Surroundings {
  readonly revision: number;
  readonly checkedAt: number;
  readonly text: string;
}

/**
 * The responses of `/status` as JSON. Serializes a response once until it changes, since clients poll far more often than
 * jobs change. The revision says whether a job did; its place in the queue is looked up each time.
 */
function createStatusCache(options: RestOptions) {
  const cache = new LRUCache<string, Cached>({ max: CACHED_JOBS });
  /** Only operators see which engine has the job. */
  const keyOf = ({ id }: Job, { operator }: Caller): string => (operator ? `${id} operator` : id);

  /** Whether the cached response is valid without a look-up. */
  function isCurrent(job: Job, cached: Cached): boolean {
    if (cached.revision !== job.revision || isWaiting(job)) return false;
    return job.status !== 'COMPLETED' || performance.now() - cached.checkedAt < RECHECK_MS;
  }

  async function lookUp(job: Job, cached: Cached | undefined, caller: Caller): Promise<string> {
    const checkedAt = performance.now();
    const around = await surroundingsOf(options, job, caller);
    if (cached?.revision === job.revision && isWaiting(job) && sameWait(around, cached)) return cached.text;
    const text = JSON.stringify(describeStatus(options, job, around));
    cache.set(keyOf(job, caller), { ...around, revision: job.revision, checkedAt, text });
    return text;
  }

  return {
    /** A promise only where something has to be looked up. */
    textOf(job: Job, caller: Caller): string | Promise<string> {
      const cached = cache.get(keyOf(job, caller));
      return cached !== undefined && isCurrent(job, cached) ? cached.text : lookUp(job, cached, caller);
    },
  };
}

function sameWait(a: Surroundings, b: Surroundings): boolean {
  return a.position === b.position && a.wait?.message === b.wait?.message;
}
