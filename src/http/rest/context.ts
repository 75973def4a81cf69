import type { FastifyRequest } from 'fastify';
import type { Services } from '../../graphql/context.ts';
import type { Caller } from '../../jobs/caller.ts';
import type { Artifacts } from '../../jobs/ports.ts';
import type { Uploads } from '../../jobs/uploads.ts';
import type { Log } from '../../log.ts';

/** What the REST face is built from. */
export interface RestOptions {
  readonly services: Services;
  readonly artifacts: Artifacts;
  readonly uploads: Uploads;
  /** ComfyUI's output folder, without a slash at the end: what `image_path` begins with. */
  readonly outputDir: string;
  readonly version: string;
  /** What some engine can do now. */
  readonly features: () => string[];
  readonly engineKind: () => 'sandbox' | 'comfyui';
  readonly callerOf: (request: FastifyRequest) => Caller;
  /** Other origins whose pages may use us. */
  readonly origins: readonly string[];
  /** Callers are told apart: what is sent to one is kept by nobody on the way. */
  readonly keepPrivate: boolean;
  /** Largest body of a request, in bytes. */
  readonly maxBodyBytes: number;
  /** Where a fault that is hidden from the caller is told, with the reference that the caller got. */
  readonly log: Log;
}
