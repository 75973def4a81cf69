import type { DispatchContext } from './context.ts';
import type { EngineStatus } from './engines/engine.ts';
import { changeFleet, type FleetChanges } from './fleet/changes.ts';
import { type FleetOptions, keepFleet, type MemberStatus } from './fleet/fleet.ts';
import { startHousekeeping } from './housekeeping.ts';

export interface DispatcherOptions extends FleetOptions {
  readonly context: DispatchContext;
  /** Milliseconds that a job may wait for a lane. */
  readonly queueTimeoutMs: number;
}

export interface Dispatcher {
  /** The engines as they are now. Those that leave are among them until their last job has ended. */
  engines(): readonly MemberStatus[];
  readonly changes: FleetChanges;
  /** Whether one of its lanes runs this job. */
  runs(jobId: string): boolean;
  /** The workflows changed: every engine is checked against them again. */
  recheck(): void;
  stop(): Promise<void>;
}

/** Starts to probe the engines, and starts their lanes. Rejects when the store cannot be read. */
export async function startDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const { context, configured, allows, leaseMs, queueTimeoutMs } = options;
  const fleet = keepFleet(options);
  try {
    // Before a lane takes a job.
    await fleet.update();
  } catch (error) {
    await fleet.stop();
    throw error;
  }
  const housekeeping = startHousekeeping({
    context,
    strandedAfterMs: 2 * leaseMs,
    queueTimeoutMs,
    engines: (): readonly EngineStatus[] => fleet.status(),
    hasLoaded: fleet.hasLoaded,
  });

  return {
    engines: fleet.status,
    changes: changeFleet({
      records: context.ledger.engines,
      fleet,
      configured: configured.present,
      allows,
      log: context.log,
    }),
    runs: jobId => fleet.lanes().some(({ job }) => job === jobId),
    recheck() {
      for (const engine of fleet.engines()) engine.recheck();
    },
    async stop() {
      await housekeeping.stop();
      await fleet.stop();
    },
  };
}
