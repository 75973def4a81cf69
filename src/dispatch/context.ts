import type { ImageLoader } from '../images/loader.ts';
import type { RunningLimits } from '../jobs/claims.ts';
import type { Artifacts, Previews } from '../jobs/image-stores.ts';
import type { Clock, Feed, Ledger } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { WorkflowCatalog } from '../workflows/files/catalog.ts';
import type { RunObserver } from './observer.ts';
import type { Pace } from './pace.ts';

/** Time limits of a run, in milliseconds. */
export interface RunLimits {
  /** To send all images of a job to the engine, without the time that reading and decoding them takes. */
  readonly uploadMs: number;
  /** Without progress while the engine says that it runs; longer for a job with slow steps. */
  readonly stallMs: number;
  /** From the start of the execution to its end. */
  readonly runMs: number;
  /** From the first stop request until the engine counts as stuck. */
  readonly stopMs: number;
  /** An engine that does not respond for this long has lost its jobs. */
  readonly engineGraceMs: number;
  /** Silence after which the engine is asked where the prompt is. */
  readonly watchdogMs: number;
  /** Lost runs of a job after which it fails. */
  readonly maxAttempts: number;
  /** Previews kept per second. */
  readonly previewRate: number;
  readonly jobTtlMs: number;
}

/** Shared by all lanes of this process. */
export interface DispatchContext {
  readonly ledger: Ledger;
  readonly feed: Feed;
  readonly artifacts: Artifacts;
  /** Decodes input images before an engine gets them. */
  readonly images: Pick<ImageLoader, 'decode'>;
  readonly previews: Previews;
  readonly workflows: WorkflowCatalog;
  readonly pace: Pace;
  readonly observer: RunObserver;
  readonly now: Clock;
  readonly log: Log;
  readonly limits: RunLimits;
  /** Unset: no policy limits how many jobs of a caller run. */
  readonly running?: RunningLimits | undefined;
}
