import { changeFrom } from '../jobs/change.ts';
import { jobError } from '../jobs/errors.ts';
import { isWaiting } from '../jobs/job.ts';
import type { DispatchContext } from './context.ts';

export interface HousekeepingOptions {
  readonly context: DispatchContext;
  /** Milliseconds after which a job whose lane nobody holds is brought back. */
  readonly strandedAfterMs: number;
  readonly queueTimeoutMs: number;
  /** Engines that share the queue's work now. */
  readonly readyEngines: () => number;
}

const SWEEP_MS = 5_000;
const POSITIONS_MS = 500;
/** Watched jobs that are told their place in one round; more take turns. */
const POSITIONS_A_ROUND = 500;
const SWEEP_BATCH = 200;

/**
 * What no lane does: brings back jobs of engines that were taken out of the configuration, ends jobs that waited too
 * long, and tells those who watch a waiting job how its place in the queue changes.
 */
export function startHousekeeping(options: HousekeepingOptions): { stop(): Promise<void> } {
  const { context } = options;
  const positions = createPositionTeller(context, options.readyEngines);
  const sweep = every(context, SWEEP_MS, async () => {
    await recoverStranded(context, options.strandedAfterMs);
    await endOverdue(context, options.queueTimeoutMs);
  });
  const tell = every(context, POSITIONS_MS, positions);
  return {
    async stop() {
      await Promise.all([sweep.stop(), tell.stop()]);
    },
  };
}

/** Does `work` again and again, never twice at once; a fault is logged and the next round tries again. */
function every(context: DispatchContext, ms: number, work: () => Promise<void>): { stop(): Promise<void> } {
  let running: Promise<void> | null = null;
  const timer = setInterval(() => {
    running ??= work()
      .catch(error => context.log.error({ error: String(error) }, 'housekeeping failed'))
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

async function recoverStranded(context: DispatchContext, graceMs: number): Promise<void> {
  for (const job of await context.ledger.stranded(graceMs)) {
    const at = context.now();
    const { maxAttempts, jobTtlMs } = context.limits;
    const reason = `its engine ${job.engine ?? ''} is no longer there`;
    const event = { type: 'engineLost', at, reason, maxAttempts, expiresAt: at + jobTtlMs } as const;
    await changeFrom(context.ledger, job, event, null);
    context.log.warn({ job: job.id, engine: job.engine }, 'brought back a job of an engine that is gone');
  }
}

async function endOverdue(context: DispatchContext, queueTimeoutMs: number): Promise<void> {
  const at = context.now();
  for (const job of await context.ledger.overdue(at - queueTimeoutMs, SWEEP_BATCH)) {
    const error = jobError('TIMED_OUT', `No engine had time for the job within ${queueTimeoutMs / 1000} s`);
    const expiresAt = at + context.limits.jobTtlMs;
    await changeFrom(context.ledger, job, { type: 'failed', at, error, engineReport: null, expiresAt }, null);
  }
}

/** Tells watched, waiting jobs their place; a job that is no longer where it was read is left to the next round. */
function createPositionTeller(context: DispatchContext, readyEngines: () => number): () => Promise<void> {
  const { ledger, feed, pace } = context;
  let turn = 0;
  return async () => {
    const watched = feed.watched();
    const from = turn < watched.length ? turn : 0;
    const ids = watched.slice(from, from + POSITIONS_A_ROUND);
    turn = from + ids.length;
    if (ids.length === 0) return;
    for (const job of await ledger.getMany(ids)) {
      if (job === null || !isWaiting(job)) continue;
      const ahead = await ledger.ahead(job);
      if (ahead === null) continue;
      const seconds = pace.wholeJob(job);
      const rounds = Math.ceil((ahead + 1) / Math.max(1, readyEngines()));
      const etaSeconds = seconds === null ? null : Math.round(rounds * seconds * 10) / 10;
      const event = { type: 'moved', at: context.now(), queuePosition: ahead, etaSeconds } as const;
      await changeFrom(ledger, job, event, null);
    }
  };
}
