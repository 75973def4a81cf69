import { changeFrom, changeUnlessStale } from '../jobs/changes.ts';
import type { Place } from '../jobs/claims.ts';
import type { RequestedEngine } from '../jobs/engine-needs.ts';
import { jobError } from '../jobs/errors.ts';
import type { Job } from '../jobs/job.ts';
import type { Lease } from '../jobs/ports.ts';
import { loggedJob } from '../jobs/trace.ts';
import type { DispatchContext } from './context.ts';
import type { EngineStatus } from './engines/engine.ts';
import { waitReason } from './waiting.ts';

type Context = Pick<DispatchContext, 'ledger' | 'feed' | 'pace' | 'now' | 'log' | 'running'> & {
  readonly limits: Pick<DispatchContext['limits'], 'maxAttempts' | 'jobTtlMs'>;
};

export interface HousekeepingOptions {
  readonly context: Context;
  /** Milliseconds without a holder of its lane after which a job is queued again. */
  readonly strandedAfterMs: number;
  readonly queueTimeoutMs: number;
  readonly engines: () => readonly EngineStatus[];
  /** Whether an engine has the models of a workflow loaded. */
  readonly hasLoaded: (workflow: string) => boolean;
  /** The engine that is starting on request; null: none is. */
  readonly requested: () => RequestedEngine | null;
}

const SWEEP_MS = 5_000;
const POSITIONS_MS = 500;
/** Watched jobs whose queue position is updated in one round; others follow in the next. */
const POSITIONS_PER_ROUND = 500;
const SWEEP_BATCH = 200;
/** How long the lane of a stranded job is held to queue the job again. */
const RECOVERY_MS = 10_000;

/**
 * Does what no lane does: queues jobs again whose engine was removed from the configuration, fails jobs that waited too long,
 * and tells the watchers of waiting jobs their place in the queue and why they wait.
 */
export function startHousekeeping(options: HousekeepingOptions): { stop(): Promise<void> } {
  const { context } = options;
  const positions = createPositionUpdater(options);
  const sweep = every(context, SWEEP_MS, async () => {
    await recoverStranded(context, options.strandedAfterMs);
    await endOverdue(context, options.queueTimeoutMs);
  });
  const update = every(context, POSITIONS_MS, positions);
  return {
    async stop() {
      await Promise.all([sweep.stop(), update.stop()]);
    },
  };
}

/** Repeats `work`, never twice at once. An error is logged, and the next round tries again. */
function every(context: Context, ms: number, work: () => Promise<void>): { stop(): Promise<void> } {
  let running: Promise<void> | null = null;
  const timer = setInterval(() => {
    running ??= work()
      .catch(error => context.log.error({ err: error }, 'housekeeping failed'))
      .finally(() => {
        running = null;
      });
  }, ms);
  return {
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}

async function recoverStranded(context: Context, graceMs: number): Promise<void> {
  const { ledger } = context;
  for (const { lane } of await ledger.stranded(graceMs)) {
    if (lane === null) continue;
    // A lane that another gateway has taken since is not free: the job goes on there.
    for (const { lease, job } of (await ledger.keepLanes([], [lane], RECOVERY_MS)).taken) {
      if (job !== null) await requeue(context, job, lease);
      await ledger.releaseLane(lease);
    }
  }
}

async function requeue(context: Context, job: Job, lease: Lease): Promise<void> {
  const at = context.now();
  const { maxAttempts, jobTtlMs } = context.limits;
  const reason = `its engine ${job.engine ?? ''} was removed`;
  const event = { type: 'engineLost', at, reason, maxAttempts, expiresAt: at + jobTtlMs } as const;
  const change = await changeFrom(context.ledger, job, event, lease);
  if (change.kind !== 'ok' || !change.changed) return;
  context.log.warn({ ...loggedJob(job), engine: job.engine }, 'queued a job again: its engine was removed');
}

async function endOverdue(context: Context, queueTimeoutMs: number): Promise<void> {
  const at = context.now();
  for (const job of await context.ledger.overdue(at - queueTimeoutMs, SWEEP_BATCH)) {
    const error = jobError('TIMED_OUT', `No engine took the job within ${queueTimeoutMs / 1000} s`);
    const expiresAt = at + context.limits.jobTtlMs;
    // One that changes meanwhile may have begun: it is looked at again in the next round.
    const event = { type: 'failed', at, error, engineReport: null, expiresAt } as const;
    await changeUnlessStale(context.ledger, job, event, null);
  }
}

/** How many jobs run one after another until this one has ended. A caller at its limit has no more at once than that. */
function roundsUntil({ ahead, limited }: Place, engines: number): number {
  const inAll = Math.ceil((ahead + 1) / engines);
  if (limited === null) return inAll;
  // Those of the caller that run now come first.
  return Math.max(inAll, 1 + Math.ceil((limited.ahead + 1) / Math.min(limited.limit, engines)));
}

/** Updates what watched jobs wait for; a job that changes meanwhile is left to the next round. */
function createPositionUpdater({
  context,
  engines: allEngines,
  hasLoaded,
  requested,
}: HousekeepingOptions): () => Promise<void> {
  const { ledger, feed, pace } = context;
  let turn = 0;
  return async () => {
    const watched = feed.watched();
    const from = turn < watched.length ? turn : 0;
    const ids = watched.slice(from, from + POSITIONS_PER_ROUND);
    turn = from + ids.length;
    if (ids.length === 0) return;
    const engines = allEngines();
    const ready = engines.filter(({ state }) => state === 'READY').length;
    for (const job of await ledger.waitingAmong(ids)) {
      const place = await ledger.place(job, context.running);
      if (place === null) continue;
      const seconds = pace.wholeJob(job);
      const rounds = roundsUntil(place, Math.max(1, ready));
      const loading = hasLoaded(job.request.workflow) ? 0 : pace.loading(job);
      const etaSeconds = seconds === null ? null : Math.round((rounds * seconds + loading) * 10) / 10;
      const at = context.now();
      // It could not be told if the store were away.
      const around = {
        at,
        place,
        engines,
        storeAwaySince: null,
        requested: requested(),
        operator: false,
      };
      const waitCode = waitReason(job, around)?.code ?? null;
      const event = { type: 'moved', at, queuePosition: place.ahead, etaSeconds, waitCode } as const;
      await changeFrom(ledger, job, event, null);
    }
  };
}
