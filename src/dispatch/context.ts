import type { Artifacts, Clock, Feed, Ledger, Previews } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { WorkflowCatalog } from '../workflows/files/catalog.ts';
import type { Pace } from './pace.ts';

/** Time limits of a run, in milliseconds. */
export interface RunLimits {
  /** All pictures of a job to the engine. */
  readonly uploadMs: number;
  /** No node and no step moved while the engine says it runs. Stretched for a job whose steps are slow. */
  readonly stallMs: number;
  /** From the start of the execution to its end. */
  readonly runMs: number;
  /** An engine that was told to stop a prompt and has not after this long does not listen. */
  readonly stopMs: number;
  /** An engine that does not answer for this long has lost its jobs. */
  readonly engineGraceMs: number;
  /** Silence after which the engine is asked where the prompt is. */
  readonly watchdogMs: number;
  /** Runs of a job before it counts as one that kills engines. */
  readonly maxAttempts: number;
  /** Previews kept a second. */
  readonly previewRate: number;
  readonly jobTtlMs: number;
}

/** What every lane of this process shares. */
export interface DispatchContext {
  readonly ledger: Ledger;
  readonly feed: Feed;
  readonly artifacts: Artifacts;
  readonly previews: Previews;
  readonly workflows: WorkflowCatalog;
  readonly pace: Pace;
  readonly now: Clock;
  readonly log: Log;
  readonly limits: RunLimits;
}
