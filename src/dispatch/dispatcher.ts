import type { RequestedEngine } from '../jobs/engine-needs.ts';
import type { DispatchContext } from './context.ts';
import type { EngineStatus } from './engines/engine.ts';
import { changeFleet, type FleetChanges } from './fleet/changes.ts';
import { type FleetOptions, keepFleet, type MemberStatus } from './fleet/fleet.ts';
import { startWaking, type WakeOptions } from './fleet/waking.ts';
import { startHousekeeping } from './housekeeping.ts';

export interface DispatcherOptions extends FleetOptions {
  readonly context: DispatchContext;
  /** Milliseconds that a job may wait for a lane. */
  readonly queueTimeoutMs: number;
  /** Null: nothing starts and stops engines on request. */
  readonly wake: WakeOptions | null;
}

export interface Dispatcher {
  /** The engines as they are now. Those that leave are among them until their last job has ended. */
  engines(): readonly MemberStatus[];
  /** Whether one of them can run the workflow of this name, as it is now. Each submit asks, so it gathers no statuses. */
  canRun(name: string): boolean;
  readonly changes: FleetChanges;
  /** The engine that is starting on request; null: none is. */
  requested(): RequestedEngine | null;
  /** Whether one of its lanes runs this job. */
  runs(jobId: string): boolean;
  /** The workflows changed: every engine is checked against them again. */
  recheck(): void;
  stop(): Promise<void>;
}

/** Starts to probe the engines, and starts their lanes. Rejects when the store cannot be read. */
export async function startDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const { context, configured, allows, leaseMs, queueTimeoutMs, wake } = options;
  const fleet = keepFleet(options);
  try {
    // Before a lane takes a job.
    await fleet.update();
  } catch (error) {
    await fleet.stop();
    throw error;
  }
  const { ledger, workflows, now, log } = context;
  const waking =
    wake === null ? null : startWaking(wake, { ledger, engines: fleet.status, workflows, now, log });
  const requested = () => waking?.requested() ?? null;
  const housekeeping = startHousekeeping({
    context,
    strandedAfterMs: 2 * leaseMs,
    queueTimeoutMs,
    engines: (): readonly EngineStatus[] => fleet.status(),
    hasLoaded: fleet.hasLoaded,
    requested,
  });

  return {
    engines: fleet.status,
    canRun(name) {
      const workflow = workflows.all().find(current => current.name === name);
      return workflow !== undefined && fleet.engines().some(engine => engine.canRun(name, workflow.version));
    },
    changes: changeFleet({
      records: ledger.engines,
      fleet,
      configured: configured.present,
      allows,
      log,
    }),
    requested,
    runs: jobId => fleet.lanes().some(({ job }) => job === jobId),
    recheck() {
      for (const engine of fleet.engines()) engine.recheck();
    },
    async stop() {
      await waking?.stop();
      await housekeeping.stop();
      await fleet.stop();
    },
  };
}
