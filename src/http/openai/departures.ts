import type { Caller } from '../../jobs/job.ts';
import type { Jobs } from '../../jobs/service.ts';
import type { Log } from '../../log.ts';

/** How long a client that can come back, because its request has a key, may take to do so. */
export const RETURN_MS = 15_000;

/** Cancels the jobs that no request waits for any more. */
export interface Departures {
  /** A request waits for these jobs. */
  arrive(ids: readonly string[]): void;
  /** Its client has left. After `graceMs`, those of the jobs that no other request waits for are canceled. */
  leave(ids: readonly string[], caller: Caller, graceMs: number): void;
  /** The request has its response. */
  finish(ids: readonly string[]): void;
  /** Cancels nothing from now on: jobs outlive this process. */
  stop(): void;
}

export function createDepartures(jobs: Pick<Jobs, 'cancel'>, log: Log): Departures {
  const waiting = new Map<string, number>();
  const timers = new Map<string, NodeJS.Timeout>();
  let stopped = false;

  function finish(ids: readonly string[]): void {
    for (const id of ids) {
      const left = (waiting.get(id) ?? 1) - 1;
      if (left > 0) waiting.set(id, left);
      else waiting.delete(id);
    }
  }

  function cancel(id: string, caller: Caller): void {
    timers.delete(id);
    jobs.cancel(id, caller).catch((error: unknown) => {
      log.error({ job: id, err: error }, 'could not cancel the job of a client that has left');
    });
  }

  return {
    arrive(ids) {
      for (const id of ids) {
        waiting.set(id, (waiting.get(id) ?? 0) + 1);
        clearTimeout(timers.get(id));
        timers.delete(id);
      }
    },
    leave(ids, caller, graceMs) {
      finish(ids);
      if (stopped) return;
      for (const id of ids.filter(id => !waiting.has(id))) {
        clearTimeout(timers.get(id));
        if (graceMs === 0) cancel(id, caller);
        else timers.set(id, setTimeout(cancel, graceMs, id, caller));
      }
    },
    finish,
    stop() {
      stopped = true;
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}
