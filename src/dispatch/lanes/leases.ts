import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import type { Job } from '../../jobs/job.ts';
import type { Clock, Lease, Ledger } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';

/** A lane that this process holds. */
export interface HeldLane {
  readonly lease: Lease;
  /** The job that the last holder left; null if there is none. */
  readonly left: Job | null;
  /** Aborts when the lane has another holder, or may have one. */
  readonly over: AbortSignal;
}

/** The leases of all lanes of this process: one call renews them all, and takes those that are free. */
export interface Leases {
  /** Resolves when the lane is ours; null when `signal` aborts first. */
  take(lane: string, signal: AbortSignal): Promise<HeldLane | null>;
  /** A lease that cannot be released is released when the store responds again, unless this process ends before: then it expires. */
  release(lease: Lease): Promise<void>;
  stop(): Promise<void>;
}

export interface LeasesOptions {
  readonly ledger: Ledger;
  /** Milliseconds. Renewed after a third of it. */
  readonly leaseMs: number;
  readonly now: Clock;
  readonly log: Log;
}

/** After an error of the store, in milliseconds. */
const RETRY_MS = 1_000;

/** Starts to keep the lanes that are taken. */
export function keepLeases({ ledger, leaseMs, now, log }: LeasesOptions): Leases {
  const stopping = new AbortController();
  const held = new Map<string, { readonly lease: Lease; readonly over: AbortController }>();
  const wanted = new Map<string, (taken: HeldLane | null) => void>();
  /** Leases, by lane, that could not be released yet. */
  const unreleased = new Map<string, Lease>();
  let renewedAt = now();
  /** Ends the pause before the next call. */
  let wake: (() => void) | null = null;
  let asked = false;

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      // Lanes that start together ask together.
      await turn();
      asked = false;
      const failed = await keep();
      if (!asked || failed) await pause(failed ? Math.min(RETRY_MS, leaseMs / 3) : leaseMs / 3);
    }
  }

  /** Returns whether the store failed. */
  async function keep(): Promise<boolean> {
    if (held.size === 0 && wanted.size === 0 && unreleased.size === 0) return false;
    const leases = [...held.values()].map(({ lease }) => lease);
    const started = now();
    try {
      const { lost, taken } = await ledger.keepLanes(leases, [...wanted.keys()], leaseMs);
      renewedAt = started;
      for (const lane of lost) {
        // It may have been released meanwhile.
        if (!held.has(lane)) continue;
        log.warn({ lane }, 'the lane has another holder');
        held.get(lane)?.over.abort();
        held.delete(lane);
      }
      for (const { lease, job } of taken) await enter(lease, job);
      await releaseAgain();
      return unreleased.size > 0;
    } catch (error) {
      log.warn({ lanes: held.size, err: error }, 'the leases could not be renewed');
      // A store that is out of reach for less than a lease does no harm; after that another holder may have the lanes.
      if (now() - renewedAt > leaseMs) {
        for (const { over } of held.values()) over.abort();
        held.clear();
      }
      return true;
    }
  }

  async function enter(lease: Lease, left: Job | null): Promise<void> {
    const resolve = wanted.get(lease.lane);
    if (resolve === undefined) return release(lease);
    wanted.delete(lease.lane);
    const over = new AbortController();
    held.set(lease.lane, { lease, over });
    resolve({ lease, left, over: over.signal });
  }

  async function release(lease: Lease): Promise<void> {
    if (held.get(lease.lane)?.lease.token === lease.token) held.delete(lease.lane);
    await ledger.releaseLane(lease).catch(error => {
      unreleased.set(lease.lane, lease);
      log.debug({ lane: lease.lane, err: error }, 'the lane could not be released');
    });
  }

  /** Releases what could not be released before, so that lanes which are wanted again need not wait until they expire. */
  async function releaseAgain(): Promise<void> {
    const leases = [...unreleased.values()];
    unreleased.clear();
    await Promise.all(leases.map(release));
    if (leases.some(({ lane }) => wanted.has(lane) && !unreleased.has(lane))) asked = true;
  }

  async function pause(ms: number): Promise<void> {
    const over = new AbortController();
    wake = () => over.abort();
    await delay(ms, undefined, { signal: AbortSignal.any([over.signal, stopping.signal]) }).catch(
      () => undefined,
    );
    wake = null;
  }

  const looping = loop();
  return {
    take(lane, signal) {
      if (signal.aborted || stopping.signal.aborted) return Promise.resolve(null);
      return new Promise(resolve => {
        const abort = (): void => {
          wanted.delete(lane);
          resolve(null);
        };
        signal.addEventListener('abort', abort, { once: true });
        wanted.set(lane, taken => {
          signal.removeEventListener('abort', abort);
          resolve(taken);
        });
        asked = true;
        wake?.();
      });
    },
    release,
    async stop() {
      stopping.abort();
      await looping;
      for (const resolve of wanted.values()) resolve(null);
      wanted.clear();
    },
  };
}
