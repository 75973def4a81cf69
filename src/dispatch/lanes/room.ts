import { lanesOf } from '../../jobs/claims.ts';
import { StoreUnavailable } from '../../jobs/errors.ts';
import type { Job } from '../../jobs/job.ts';
import type { Clock, Ledger } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import type { Engine } from '../engines/engine.ts';
import type { Warmth } from './warmth.ts';

/** Finds an idle engine for a job that waits in the queue of another one, behind what that one runs. */
export interface Room {
  /**
   * Whether an idle engine of this process can take the job, which `engine` has had since `since` and not begun. That engine is
   * kept for the job for a moment: no other job is told of it. Resolves with true once at most within a minute for a job, and
   * while that moment lasts.
   */
  hasFor(job: Job, engine: string, since: number): Promise<boolean>;
}

export interface RoomOptions {
  readonly ledger: Pick<Ledger, 'inLanes'>;
  /** Engines that have nothing to do, and found nothing in the queue. */
  readonly idle: () => readonly Pick<Engine, 'id' | 'canRun'>[];
  readonly warmth: Pick<Warmth, 'of'>;
  /** How long a job waits before it moves to an engine that would have to load its models, in milliseconds. */
  readonly patienceMs: number;
  readonly now: Clock;
  readonly log: Log;
}

/** How long a job waits behind another one at least, in milliseconds: it may be about to begin. */
const BEHIND_MS = 1_000;
/** How long an engine is kept for a job. */
const KEPT_MS = 5_000;
/** A job that did not gain by its move, because others were faster, does not move again and again. */
const AGAIN_MS = 60_000;

/** Starts with nothing kept. */
export function createRoom({ ledger, idle, warmth, patienceMs, now, log }: RoomOptions): Room {
  /** By job. */
  const kept = new Map<string, { readonly from: string; readonly engine: string; readonly at: number }>();

  function forgetOld(at: number): void {
    for (const [job, entry] of kept) if (at - entry.at >= AGAIN_MS) kept.delete(job);
  }

  /** Jobs in lanes of other gateways are known to the store only. */
  async function isIdle(engine: string): Promise<boolean> {
    try {
      return (await ledger.inLanes(lanesOf(engine))).length === 0;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      log.debug({ engine, err: error }, 'cannot tell whether the engine is idle: no job moves to it');
      return false;
    }
  }

  return {
    async hasFor({ id, request }, own, since) {
      const at = now();
      forgetOld(at);
      const before = kept.get(id);
      if (before !== undefined) return before.from === own && at - before.at < KEPT_MS;
      const waited = at - since;
      if (waited < BEHIND_MS) return false;
      const others = [...kept.values()].filter(entry => at - entry.at < KEPT_MS).map(({ engine }) => engine);
      const found = idle().find(
        engine =>
          engine.id !== own &&
          !others.includes(engine.id) &&
          engine.canRun(request.workflow, request.workflowVersion) &&
          (waited >= patienceMs || warmth.of(engine.id).includes(request.workflow)),
      );
      if (found === undefined) return false;
      kept.set(id, { from: own, engine: found.id, at });
      if (await isIdle(found.id)) return true;
      kept.delete(id);
      return false;
    },
  };
}
