import type { ServerResponse } from 'node:http';
import type { FastifyRequest } from 'fastify';
import type { Services } from '../../graphql/context.ts';
import type { Artifacts } from '../../jobs/image-stores.ts';
import type { Caller, Job } from '../../jobs/job.ts';
import type { Uploads } from '../../jobs/uploads.ts';
import type { Log } from '../../log.ts';
import type { Page } from '../pages.ts';

/** What the REST routes are built from. */
export interface RestOptions {
  readonly services: Services;
  readonly artifacts: Artifacts;
  readonly uploads: Uploads;
  /** ComfyUI's output folder: the prefix of `image_path`. */
  readonly outputDir: string;
  readonly version: string;
  /** What the connected engines can do now. */
  readonly features: () => string[];
  readonly engineKind: () => 'sandbox' | 'comfyui';
  /** Aborts when a response that stays open has to end. */
  readonly endingOf: (response: ServerResponse) => AbortSignal;
  readonly callerOf: (request: Pick<FastifyRequest, 'raw'>) => Caller;
  /** Other origins whose pages may use the gateway. */
  readonly origins: readonly string[];
  /** Callers are identified, so no cache may store what one of them gets. */
  readonly keepPrivate: boolean;
  /** The page that browsers get at `/`. Null: there is none. */
  readonly studio: Page | null;
  /** The page at `/docs`. Null: it was not built. */
  readonly docs: Page | null;
  /** Largest body of POST `/edit-image`, in bytes. */
  readonly maxBodyBytes: number;
  readonly log: Log;
}

/** Seconds for which a redirect to the store of images is valid. */
export const SIGNED_FOR_S = 300;

/** A request about one job. */
export type JobRequest = FastifyRequest<{ Params: { job_id: string } }>;

/** Ids are UUIDs; nothing else needs a look-up in the store. */
const ID = /^[A-Za-z0-9_-]{1,64}$/;

/** Whether a job or batch can have the id. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** The job id in the path; null: no job can have it. */
export function jobIdOf(request: JobRequest): string | null {
  const { job_id } = request.params;
  return ID.test(job_id) ? job_id : null;
}

/** The job that the path names; null: there is none that the caller may see. */
export function findJob(options: RestOptions, request: JobRequest): Promise<Job | null> {
  const id = jobIdOf(request);
  // Returned without `async`, which would cost three microtask turns in each small response.
  return id === null ? Promise.resolve(null) : options.services.jobs.get(id, options.callerOf(request));
}
