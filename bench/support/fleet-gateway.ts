import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { connectRedis, type RedisStore } from '../../src/adapters/redis/connect.ts';
import { createEngineClient } from '../../src/comfyui/client.ts';
import type { DispatchContext } from '../../src/dispatch/context.ts';
import type { Engine, EngineStatus } from '../../src/dispatch/engines/engine.ts';
import { startClaimer } from '../../src/dispatch/lanes/claimer.ts';
import { startLane } from '../../src/dispatch/lanes/lane.ts';
import { keepLeases } from '../../src/dispatch/lanes/leases.ts';
import { createMoves } from '../../src/dispatch/lanes/moves.ts';
import { createWarmth } from '../../src/dispatch/lanes/warmth.ts';
import { createPace } from '../../src/dispatch/pace.ts';
import { holdJob } from '../../src/dispatch/run/held-job.ts';
import type { runJob } from '../../src/dispatch/run/run.ts';
import { createLog } from '../../src/log.ts';
import { createCatalog } from '../../src/workflows/files/catalog.ts';
import { aJob } from '../../test/support/jobs.ts';

/** A gateway's share of the fleet. */
export interface FleetShare {
  readonly url: string;
  readonly name: string;
  readonly engines: number;
  readonly lanes: number;
  /** Milliseconds of a run. */
  readonly runMs: number;
}

/** What a gateway did since it was asked last. */
export interface FleetReport {
  /** Calls of Redis by command. */
  readonly calls: Readonly<Record<string, number>>;
  /** Milliseconds from the submit of each job to its claim here, by the clock of the machine. */
  readonly waits: readonly number[];
  readonly completed: number;
  readonly cpuSeconds: number;
}

const calls = new Map<string, number>();
countCalls();
let waits: number[] = [];
let completed = 0;
let cpu = process.cpuUsage();

/** On `{share}` it starts the lanes and replies `{ready}` when it holds them all; on `{report}` it replies with a FleetReport. */
process.on('message', ({ share }: { share?: FleetShare; report?: true }) => {
  if (share === undefined) {
    process.send?.({ report: report() });
    return;
  }
  start(share).then(
    () => process.send?.({ ready: true }),
    (error: unknown) => process.send?.({ failed: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));

/** Counts what the clients of this process send; commands within scripts are not among them. */
function countCalls(): void {
  const send = Redis.prototype.sendCommand;
  Redis.prototype.sendCommand = function count(command, stream) {
    calls.set(command.name, (calls.get(command.name) ?? 0) + 1);
    return send.call(this, command, stream);
  };
}

function report(): FleetReport {
  const { user, system } = process.cpuUsage(cpu);
  const found = { calls: Object.fromEntries(calls), waits, completed, cpuSeconds: (user + system) / 1e6 };
  calls.clear();
  waits = [];
  completed = 0;
  cpu = process.cpuUsage();
  return found;
}

async function start(share: FleetShare): Promise<void> {
  const log = createLog('error');
  const store = await connectRedis({ url: share.url, log });
  const ledger: RedisStore['ledger'] = {
    ...store.ledger,
    onChange(_, { createdAt }, event) {
      if (event === 'claimed') waits.push(Date.now() - createdAt);
    },
  };
  const workflows = createCatalog({ workflows: [], broken: [] }, null, () => true);
  const now = Date.now;
  const context: DispatchContext = {
    ...store,
    ledger,
    workflows,
    now,
    log,
    artifacts: {
      put: unused,
      get: unused,
      size: unused,
      remove: unused,
      list: unused,
    },
    images: { decode: unused },
    pace: createPace({ durations: store.durations, now, log }),
    observer: { around: (_, __, work) => work(), missed: () => undefined },
    limits: {
      uploadMs: 1,
      stallMs: 1,
      runMs: share.runMs,
      stopMs: 1,
      engineGraceMs: 1,
      watchdogMs: 1,
      maxAttempts: 1,
      previewRate: 0,
      jobTtlMs: 3_600_000,
    },
  };
  const engines = Array.from({ length: share.engines }, (_, n) => standIn(`${share.name}-${n}:8188`));
  const leases = keepLeases({ ledger, leaseMs: 10_000, now, log });
  const warmth = createWarmth({ workflows, claims: store.lastClaims, log });
  const claimer = startClaimer({
    ledger,
    workflows,
    warmth,
    engines: () => engines,
    patienceMs: 30_000,
    now,
    log,
  });
  const moves = createMoves({ ledger, idle: claimer.idleEngines, warmth, patienceMs: 30_000, now, log });
  for (const engine of engines) {
    for (let index = 0; index < share.lanes; index += 1) {
      startLane({ context, engine, index, leases, claimer, moves, run });
    }
  }
  const lanes = engines.flatMap(({ id }) => Array.from({ length: share.lanes }, (_, n) => `${id}#${n}`));
  // No lane is free any more.
  while ((await ledger.keepLanes([], lanes.slice(-1), 1)).taken.length > 0) await delay(100);
}

/** Drives a job as `runJob` does, without an engine and without progress. */
const run: typeof runJob = async ({ context, engine }, claimed, lease, _, signal) => {
  const { ledger, feed, pace, limits, now } = context;
  const ignore = (): void => undefined;
  const unwatch = await feed.watch(claimed.id, { changed: ignore, gone: ignore });
  try {
    const held = holdJob(ledger, claimed, lease, signal);
    await ledger.get(claimed.id);
    await held.apply({ type: 'bound', at: now(), size: { width: 64, height: 64 } });
    await held.apply({ type: 'started', at: now() });
    await delay(limits.runMs * (0.8 + 0.4 * Math.random()));
    pace.completed({ id: engine.id, device: null }, held.job, limits.runMs / 1_000);
    const at = now();
    await held.apply({ type: 'completed', at, outputs: [], expiresAt: at + limits.jobTtlMs });
    completed += 1;
  } finally {
    unwatch();
  }
};

/** An engine that is always ready, and that nothing is sent to. */
function standIn(id: string): Engine {
  const url = `http://${id}`;
  const client = createEngineClient({ url, timeoutMs: 1_000, traceparent: () => null });
  const nothing = (): void => undefined;
  const status: EngineStatus = {
    id,
    url,
    leaving: false,
    state: 'READY',
    reason: null,
    downSince: null,
    stats: null,
    targetedInterrupt: true,
    previewMetadata: true,
    live: true,
    workflows: [aJob().request.workflow],
    problems: new Map(),
    models: new Map(),
  };
  return {
    id,
    client,
    status: () => status,
    canRun: () => true,
    inventory: () => null,
    takesJobs: () => true,
    recheck: nothing,
    ready: () => Promise.resolve(),
    lost: nothing,
    mayHaveRestarted: nothing,
    ranOutOfMemory: nothing,
    ranWell: nothing,
    hold: nothing,
    leaving: () => null,
    departure: () => new AbortController().signal,
    openSocket: unused,
    abandon: nothing,
    uploadedAs: () => null,
    rememberUpload: nothing,
    stop: () => Promise.resolve(),
  };
}

function unused(): never {
  throw new Error('a stand-in has none');
}
