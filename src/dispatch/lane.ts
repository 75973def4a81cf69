import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { changeFrom } from '../jobs/changes.ts';
import type { Job } from '../jobs/job.ts';
import type { Lease } from '../jobs/ports.ts';
import { chooseJob, laneName, lanesOf } from './choose.ts';
import type { DispatchContext } from './context.ts';
import type { Engine } from './engines/engine.ts';
import { runJob } from './run/run.ts';

export interface LaneOptions {
  readonly context: DispatchContext;
  readonly engine: Engine;
  /** All engines of this process. */
  readonly engines: () => readonly Engine[];
  /** 0 for the first lane of an engine. */
  readonly index: number;
  readonly leaseMs: number;
}

export interface Lane {
  /** The id of the job that it runs; null while it has none. */
  readonly job: string | null;
  /** Leaves the present job as it is and releases the lane. */
  stop(): Promise<void>;
}

/** Waiting jobs that a lane considers; more only if its engine can run none of the first. */
const CANDIDATES = [4, 1_000] as const;
/** A notification of waiting jobs may be lost, for example when the store restarts: look anyway. */
const POLL_MS = 2_000;
/** How often a lane looks whether the job that runs alone on its engine has ended. */
const ALONE_POLL_MS = 250;
/** A busy engine leaves a new job to an idle one for this long. */
const COURTESY_MS = 25;
/** After an error of the store. */
const RETRY_MS = 1_000;

/**
 * Starts one lane, a place in an engine's queue: while it holds the lane's lease, it claims the job that should run next and
 * drives it to its end, one after another.
 */
export function startLane({ context, engine, engines, index, leaseMs }: LaneOptions): Lane {
  const { ledger, log } = context;
  const name = laneName(engine.id, index);
  const stopping = new AbortController();
  let present: string | null = null;

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const held = await ledger.acquireLane(name, leaseMs);
        if (held === null) await pause(leaseMs / 3);
        else await hold(held.lease, held.job);
      } catch (error) {
        log.error({ lane: name, err: error }, 'the lane failed and is started again');
        await pause(RETRY_MS);
      }
    }
  }

  /** Works for as long as the lease can be renewed. */
  async function hold(lease: Lease, left: Job | null): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([stopping.signal, over.signal]);
    const renewing = renew(lease, signal, over);
    try {
      if (left !== null) await run(left, lease, true, signal);
      while (!signal.aborted) {
        await engine.ready(signal);
        const job = signal.aborted ? null : await claim(lease, signal);
        if (job !== null) await run(job, lease, false, signal);
      }
    } finally {
      over.abort();
      await renewing;
      // A lease that cannot be released expires.
      await ledger.releaseLane(lease).catch(error => {
        log.debug({ lane: name, err: error }, 'the lane was not released: its lease expires');
      });
    }
  }

  async function run(job: Job, lease: Lease, resumes: boolean, signal: AbortSignal): Promise<void> {
    present = job.id;
    try {
      await context.observer.around(resumes ? 'resume' : 'run', job, () =>
        runJob(context, engine, job, lease, resumes, signal),
      );
    } finally {
      present = null;
    }
  }

  async function renew(lease: Lease, signal: AbortSignal, over: AbortController): Promise<void> {
    let renewedAt = context.now();
    while (await pause(leaseMs / 3, signal)) {
      try {
        const started = context.now();
        if (!(await ledger.renewLane(lease, leaseMs))) {
          log.warn({ lane: name }, 'the lane has another holder');
          over.abort();
        }
        renewedAt = started;
      } catch (error) {
        // A store that is out of reach for less than the lease does no harm; after that another holder may have the lane.
        log.warn({ lane: name, err: error }, 'the lease could not be renewed');
        if (context.now() - renewedAt > leaseMs) over.abort();
      }
    }
  }

  /** Claims the next job that this engine may run; null when there was none for a while. */
  async function claim(lease: Lease, signal: AbortSignal): Promise<Job | null> {
    const waiting = listenForWork(signal);
    try {
      // Queried after listening started, so that a job that comes in between is not missed.
      const first = await next();
      if (first.job === null) {
        waiting.endIn(first.againMs);
        await waiting.ended;
        return null;
      }
      if (index > 0) {
        await pause(COURTESY_MS, signal);
        if (signal.aborted) return null;
      }
      const { job } = index > 0 ? await next() : first;
      if (job === null) return null;
      const result = await changeFrom(
        ledger,
        job,
        { type: 'claimed', at: context.now(), lane: name, engine: engine.id, promptId: randomUUID() },
        lease,
      );
      return result.kind === 'ok' && result.changed ? result.job : null;
    } finally {
      waiting.cancel();
    }
  }

  /** The job to claim, or null and how long to wait at most before the next look. */
  async function next(): Promise<{ job: Job | null; againMs: number }> {
    const choosing = {
      engine: engine.id,
      canRun: ({ request }: Job) => engine.canRun(request.workflow, request.workflowVersion),
      othersCanRun: ({ request }: Job) =>
        engines().some(
          other =>
            other.id !== engine.id &&
            other.status().state === 'READY' &&
            other.canRun(request.workflow, request.workflowVersion),
        ),
    };
    let againAt: number | null = null;
    for (const limit of CANDIDATES) {
      const waiting = await ledger.waiting(limit);
      const at = context.now();
      const choice = chooseJob(waiting, choosing, at);
      if (choice.job !== null) {
        const others = await ledger.inLanes(lanesOf(engine.id));
        if (others.some(({ suspect }) => suspect)) return { job: null, againMs: ALONE_POLL_MS };
        return { job: choice.job, againMs: 0 };
      }
      againAt = choice.againAt;
      if (waiting.length < limit) break;
    }
    const untilAgain = againAt === null ? POLL_MS : againAt - context.now();
    return { job: null, againMs: Math.min(POLL_MS, Math.max(0, untilAgain)) };
  }

  /** Listens for waiting jobs; `ended` resolves when one comes, the time is over, or `signal` aborts. */
  function listenForWork(signal: AbortSignal): {
    ended: Promise<void>;
    endIn(ms: number): void;
    cancel(): void;
  } {
    const { promise, resolve } = Promise.withResolvers<void>();
    let timer: NodeJS.Timeout | undefined;
    const stopListening = ledger.onWaiting(resolve);
    const aborted = (): void => resolve();
    signal.addEventListener('abort', aborted);
    return {
      ended: promise,
      endIn(ms) {
        timer = setTimeout(resolve, ms);
      },
      cancel() {
        clearTimeout(timer);
        stopListening();
        signal.removeEventListener('abort', aborted);
        resolve();
      },
    };
  }

  /** Resolves to false when `signal` aborts first. */
  async function pause(ms: number, signal: AbortSignal = stopping.signal): Promise<boolean> {
    return delay(ms, true, { signal }).catch(() => false);
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
