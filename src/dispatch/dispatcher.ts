import type { EngineClient } from '../comfyui/client.ts';
import type { DispatchContext } from './context.ts';
import { keepDrains } from './drains.ts';
import { type Engine, startEngine } from './engines/engine.ts';
import { startHousekeeping } from './housekeeping.ts';
import { type Lane, startLane } from './lane.ts';

export interface DispatcherOptions {
  readonly context: DispatchContext;
  readonly clients: readonly EngineClient[];
  readonly lanesPerEngine: number;
  readonly leaseMs: number;
  readonly probeMs: number;
  /** Milliseconds that a job may wait for a lane. */
  readonly queueTimeoutMs: number;
}

export interface Dispatcher {
  readonly engines: readonly Engine[];
  /** Whether one of its lanes runs this job. */
  runs(jobId: string): boolean;
  /**
   * Drains an engine, or no longer, for every gateway on the store. Null when there is no engine with this id. Rejects
   * with StoreUnavailable.
   */
  drain(id: string, drained: boolean): Promise<Engine | null>;
  stop(): Promise<void>;
}

/** Starts to probe the engines, and starts their lanes. Rejects when the store cannot be read. */
export async function startDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const { context } = options;
  const engines = options.clients.map(client =>
    startEngine({
      client,
      workflows: context.workflows,
      now: context.now,
      log: context.log,
      probeMs: options.probeMs,
    }),
  );
  const drains = keepDrains(context.ledger.drains, engines, context.log);
  try {
    // Before a lane takes a job.
    await drains.update();
  } catch (error) {
    await drains.stop();
    await Promise.all(engines.map(engine => engine.stop()));
    throw error;
  }
  const lanes: Lane[] = engines.flatMap(engine =>
    Array.from({ length: options.lanesPerEngine }, (_, index) =>
      startLane({ context, engine, engines, index, leaseMs: options.leaseMs }),
    ),
  );
  const housekeeping = startHousekeeping({
    context,
    strandedAfterMs: 2 * options.leaseMs,
    queueTimeoutMs: options.queueTimeoutMs,
    engines: () => engines.map(engine => engine.status()),
  });

  return {
    engines,
    runs: jobId => lanes.some(({ job }) => job === jobId),
    async drain(id, drained) {
      const engine = engines.find(candidate => candidate.id === id);
      if (engine === undefined) return null;
      await context.ledger.drains.set(id, drained);
      await drains.update();
      return engine;
    },
    async stop() {
      await housekeeping.stop();
      await drains.stop();
      await Promise.all(lanes.map(lane => lane.stop()));
      await Promise.all(engines.map(engine => engine.stop()));
    },
  };
}
