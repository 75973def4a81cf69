import type { EngineClient } from '../comfyui/client.ts';
import type { DispatchContext } from './context.ts';
import { type Engine, startEngine } from './engine.ts';
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
  stop(): Promise<void>;
}

/** Starts to probe the engines, and starts their lanes. */
export function startDispatcher(options: DispatcherOptions): Dispatcher {
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
    async stop() {
      await housekeeping.stop();
      await Promise.all(lanes.map(lane => lane.stop()));
      await Promise.all(engines.map(engine => engine.stop()));
    },
  };
}
