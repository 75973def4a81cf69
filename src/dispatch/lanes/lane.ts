import { setTimeout as delay } from 'node:timers/promises';
import { laneName } from '../../jobs/claims.ts';
import type { Job } from '../../jobs/job.ts';
import type { Lease } from '../../jobs/ports.ts';
import type { DispatchContext } from '../context.ts';
import type { Engine } from '../engines/engine.ts';
import { runJob } from '../run/run.ts';
import type { Claimer } from './claimer.ts';
import type { HeldLane, Leases } from './leases.ts';
import type { Moves } from './moves.ts';

export interface LaneOptions {
  readonly context: DispatchContext;
  readonly engine: Engine;
  /** 0 for the first lane of an engine. */
  readonly index: number;
  readonly leases: Leases;
  readonly claimer: Claimer;
  readonly moves: Moves;
  /** What drives a job. Unset: `runJob`. */
  readonly run?: typeof runJob;
}

export interface Lane {
  /** The id of the job that it runs; null while it has none. */
  readonly job: string | null;
  /** Leaves the present job as it is and releases the lane. */
  stop(): Promise<void>;
}

/** After an error of the store, in milliseconds. */
const RETRY_MS = 1_000;

/**
 * Starts one lane, a place in an engine's queue: while it holds the lane's lease, it gets the jobs that should run next and
 * drives each to its end, one after another.
 */
export function startLane(options: LaneOptions): Lane {
  const { context, engine, index, leases, claimer, moves, run: runOne = runJob } = options;
  const { log } = context;
  const name = laneName(engine.id, index);
  const stopping = new AbortController();
  let present: string | null = null;

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const held = await leases.take(name, stopping.signal);
        if (held !== null) await hold(held);
      } catch (error) {
        log.error({ lane: name, err: error }, 'the lane failed and is started again');
        await delay(RETRY_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  }

  /** Works for as long as the lease is renewed. */
  async function hold({ lease, left, over }: HeldLane): Promise<void> {
    const signal = AbortSignal.any([stopping.signal, over]);
    try {
      if (left !== null) await run(left, lease, true, signal);
      while (!signal.aborted) {
        await engine.ready(signal);
        const job = await claimer.next({ lease, engine }, signal);
        // Its next holder, which may be this one, gets the job if there is one.
        if (job === 'uncertain') return;
        if (job !== null) await run(job, lease, false, signal);
      }
    } finally {
      await leases.release(lease);
    }
  }

  async function run(job: Job, lease: Lease, resumes: boolean, signal: AbortSignal): Promise<void> {
    present = job.id;
    try {
      await claimer.during({ lease, engine }, job, () =>
        context.observer.around(resumes ? 'resume' : 'run', job, () =>
          runOne({ context, engine, moves }, job, lease, resumes, signal),
        ),
      );
    } finally {
      present = null;
    }
  }

  const looping = loop();
  return {
    get job() {
      return present;
    },
    async stop() {
      stopping.abort();
      await looping;
    },
  };
}
