import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { changeFrom } from '../jobs/change.ts';
import type { Job } from '../jobs/job.ts';
import type { Lease } from '../jobs/ports.ts';
import type { DispatchContext } from './context.ts';
import type { Engine } from './engine.ts';
import { runJob } from './run.ts';

export interface LaneOptions {
  readonly context: DispatchContext;
  readonly engine: Engine;
  /** 0 for the first lane of an engine. */
  readonly index: number;
  readonly leaseMs: number;
}

export interface Lane {
  /** Leaves the present job where it stands and gives the lane up. */
  stop(): Promise<void>;
}

/** Waiting jobs that a lane looks at; further ones only while its engine can run none of the first. */
const CANDIDATES = [4, 1_000] as const;
/** A call for work may be missed, by a restart of the store say: look anyway. */
const LOOK_ANYWAY_MS = 2_000;
/** An engine that is busy already leaves a new job this long to an idle one. */
const COURTESY_MS = 25;
/** After a fault of the store. */
const RETRY_MS = 1_000;

/**
 * Starts one place in an engine's queue: while it holds the lane's lease it takes the job that should run next
 * and drives it to its end, one after another.
 */
export function startLane({ context, engine, index, leaseMs }: LaneOptions): Lane {
  const { ledger, log } = context;
  const name = `${engine.id}#${index}`;
  const stopping = new AbortController();

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const held = await ledger.acquireLane(name, leaseMs);
        if (held === null) await pause(leaseMs / 3);
        else await hold(held.lease, held.job);
      } catch (error) {
        log.error({ lane: name, error: describe(error) }, 'lane failed: trying again');
        await pause(RETRY_MS);
      }
    }
  }

  /** Works as long as the lease can be renewed. */
  async function hold(lease: Lease, left: Job | null): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([stopping.signal, over.signal]);
    const renewing = renew(lease, signal, over);
    try {
      if (left !== null) await runJob(context, engine, left, lease, true, signal);
      while (!signal.aborted) {
        await engine.ready(signal);
        const job = signal.aborted ? null : await claim(lease, signal);
        if (job !== null) await runJob(context, engine, job, lease, false, signal);
      }
    } finally {
      over.abort();
      await renewing;
      // A lease that cannot be given up ends by itself.
      await ledger.releaseLane(lease).catch(error => {
        log.debug({ lane: name, error: describe(error) }, 'the lane was not released');
      });
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
        // A store that is away for less than the lease costs nothing; longer, and somebody else may hold the lane.
        log.warn({ lane: name, error: describe(error) }, 'the lease could not be renewed');
        if (context.now() - renewedAt > leaseMs) over.abort();
      }
    }
  }

  /** The next job that this engine can run; null when there was none for a while. */
  async function claim(lease: Lease, signal: AbortSignal): Promise<Job | null> {
    const call = callForWork(signal);
    try {
      // Asked for after the call was placed, so that a job that comes in between is not slept over.
      const first = await next();
      if (first === null) {
        await call.heard;
        return null;
      }
      if (index > 0) {
        await pause(COURTESY_MS, signal);
        if (signal.aborted) return null;
      }
      const job = index > 0 ? await next() : first;
      if (job === null) return null;
      const result = await changeFrom(
        ledger,
        job,
        { type: 'claimed', at: context.now(), lane: name, engine: engine.id, promptId: randomUUID() },
        lease,
      );
      return result.kind === 'ok' && result.changed ? result.job : null;
    } finally {
      call.cancel();
    }
  }

  async function next(): Promise<Job | null> {
    for (const limit of CANDIDATES) {
      const waiting = await ledger.waiting(limit);
      const job = waiting.find(({ request }) => engine.canRun(request.workflow, request.workflowVersion));
      if (job !== undefined) return job;
      if (waiting.length < limit) return null;
    }
    return null;
  }

  function callForWork(signal: AbortSignal): { heard: Promise<void>; cancel(): void } {
    let cancel = (): void => {};
    const heard = new Promise<void>(resolve => {
      const timer = setTimeout(resolve, LOOK_ANYWAY_MS);
      const stopListening = ledger.onWaiting(resolve);
      const aborted = (): void => resolve();
      signal.addEventListener('abort', aborted);
      cancel = () => {
        clearTimeout(timer);
        stopListening();
        signal.removeEventListener('abort', aborted);
        resolve();
      };
    });
    return { heard, cancel };
  }

  /** False when `signal` aborted meanwhile. */
  async function pause(ms: number, signal: AbortSignal = stopping.signal): Promise<boolean> {
    return delay(ms, true, { signal }).catch(() => false);
  }

  const looping = loop();
  return {
    async stop() {
      stopping.abort();
      await looping;
    },
  };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
