import type { EngineClient } from '../comfyui/client.ts';
import { changeFrom } from '../jobs/change.ts';
import type { DispatchContext } from './context.ts';
import { type Engine, type EngineStatus, startEngine } from './engine.ts';
import { type Lane, startLane } from './lane.ts';

export interface DispatcherOptions {
  readonly context: DispatchContext;
  readonly clients: readonly EngineClient[];
  readonly lanesPerEngine: number;
  readonly leaseMs: number;
  readonly probeMs: number;
  onEngineChange(status: EngineStatus): void;
}

export interface Dispatcher {
  readonly engines: readonly Engine[];
  stop(): Promise<void>;
}

/** How often jobs are looked for whose engine was taken out of the configuration. */
const STRANDED_EVERY_MS = 5_000;

/** Starts the engines' monitors and their lanes. */
export function startDispatcher(options: DispatcherOptions): Dispatcher {
  const { context } = options;
  const engines = options.clients.map(client =>
    startEngine({
      client,
      workflows: context.workflows,
      now: context.now,
      log: context.log,
      probeMs: options.probeMs,
      onChange: options.onEngineChange,
    }),
  );
  const lanes: Lane[] = engines.flatMap(engine =>
    Array.from({ length: options.lanesPerEngine }, (_, index) =>
      startLane({ context, engine, index, leaseMs: options.leaseMs }),
    ),
  );
  let sweeping: Promise<void> = Promise.resolve();
  const sweeper = setInterval(() => {
    sweeping = recoverStranded(context, 2 * options.leaseMs).catch(error => {
      context.log.error({ error: String(error) }, 'could not look for stranded jobs');
    });
  }, STRANDED_EVERY_MS);

  return {
    engines,
    async stop() {
      clearInterval(sweeper);
      await sweeping;
      await Promise.all(lanes.map(lane => lane.stop()));
      await Promise.all(engines.map(engine => engine.stop()));
    },
  };
}

/** Brings jobs back whose lane nobody holds any more, since its engine is no longer configured anywhere. */
async function recoverStranded(context: DispatchContext, graceMs: number): Promise<void> {
  for (const job of await context.ledger.stranded(graceMs)) {
    const at = context.now();
    const { maxAttempts, jobTtlMs } = context.limits;
    const reason = `its engine ${job.engine ?? ''} is no longer there`;
    await changeFrom(
      context.ledger,
      job,
      { type: 'engineLost', at, reason, maxAttempts, expiresAt: at + jobTtlMs },
      null,
    );
    context.log.warn(
      { job: job.id, engine: job.engine },
      'brought back a job of an engine that is no longer there',
    );
  }
}
