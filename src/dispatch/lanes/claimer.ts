import { randomUUID } from 'node:crypto';
import type { AskingLane, ClaimResult, RunningLimits } from '../../jobs/claims.ts';
import type { Job } from '../../jobs/job.ts';
import type { Clock, Lease, Ledger } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import type { Engine } from '../engines/engine.ts';
import { chooseLanes } from './choice.ts';
import { createGroups, type Groups, othersCannot } from './groups.ts';
import type { Warmth } from './warmth.ts';

/** An idle lane. */
export interface IdleLane {
  readonly lease: Lease;
  readonly engine: Engine;
}

/** Claims jobs for all idle lanes of this process: one call, however many lanes are idle. */
export interface Claimer {
  /**
   * Resolves with the next job of the lane, which is claimed. Null when `signal` aborts, or the engine no longer takes jobs; a
   * job that was claimed meanwhile is returned all the same. `uncertain`: the lane may have a job that is not known here, which
   * `keepLanes` returns with the next lease. So release this one.
   */
  next(lane: IdleLane, signal: AbortSignal): Promise<Job | null | 'uncertain'>;
  /** The lane drives a job, from its claim to its end: another holder may have claimed it. */
  during<T>(lane: IdleLane, job: Job, work: () => Promise<T>): Promise<T>;
  /** Engines without a job whose idle lanes have all asked and got nothing. */
  idleEngines(): readonly Engine[];
  stop(): Promise<void>;
}

export interface ClaimerOptions {
  readonly ledger: Ledger;
  readonly workflows: WorkflowCatalog;
  readonly warmth: Warmth;
  /** All engines of this process, now. */
  readonly engines: () => readonly Engine[];
  /** See `ClaimRequest`. */
  readonly patienceMs: number;
  /** See `ClaimRequest`. */
  readonly running?: RunningLimits | undefined;
  readonly now: Clock;
  readonly log: Log;
}

/** Lanes that one call asks for. */
const LANES_PER_CALL = 32;
/** A notification of waiting jobs may be lost, for example when the store restarts: ask anyway, in milliseconds. */
const POLL_MS = 2_000;
/** How often to ask while a job has an engine for itself. */
const ALONE_POLL_MS = 250;
/** After an error of the store. */
const RETRY_MS = 1_000;

interface Entry extends IdleLane {
  /** Whether it has not asked since it became idle. */
  fresh: boolean;
  /** Whether the present call asks for it. */
  asking: boolean;
  /** Whether it goes, with what the present call has for it. */
  leaving: boolean;
  resolve(job: Job | null | 'uncertain'): void;
}

/** Starts to claim jobs for the lanes that call `next`. */
export function startClaimer(options: ClaimerOptions): Claimer {
  const { ledger, workflows, warmth, patienceMs, running, now, log } = options;
  const idle = new Map<string, Entry>();
  /** The workflow of the job in each lane that has one, by engine; the last in the engine's queue last. */
  const busy = new Map<string, Map<string, string>>();
  let stopped = false;
  let calling: Promise<void> | null = null;
  let timer: NodeJS.Timeout | undefined;
  let timerAt = Number.POSITIVE_INFINITY;
  /** Arrivals that no call asked for yet. */
  let woken = 0;
  /** Ask for every idle lane, because there may be work for any of them. */
  let forAll = false;
  /** Whether the store failed a moment ago. */
  let resting = false;

  const stopListening = ledger.onWaiting(arrivals => {
    if (arrivals === 0) forAll = true;
    else woken += arrivals;
    ask();
  });

  /** Asks at the end of this turn of the event loop, or after the present call. */
  function ask(): void {
    if (resting) return;
    calling ??= Promise.resolve()
      .then(run)
      .finally(() => {
        calling = null;
        // What came during the last step of `run`.
        if (hasNews()) ask();
      });
  }

  function hasNews(): boolean {
    if (stopped || resting) return false;
    return woken > 0 || forAll || [...idle.values()].some(({ fresh }) => fresh);
  }

  function askIn(ms: number): void {
    const at = now() + ms;
    if (stopped || (timerAt <= at && timerAt > now())) return;
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(
      () => {
        timerAt = Number.POSITIVE_INFINITY;
        resting = false;
        forAll = true;
        ask();
      },
      Math.max(0, ms),
    );
  }

  async function run(): Promise<void> {
    while (hasNews()) {
      const lanes = idle.size;
      try {
        await claim();
      } catch (error) {
        log.warn({ lanes, err: error }, 'could not ask for jobs');
        resting = true;
        clearTimeout(timer);
        timerAt = Number.POSITIVE_INFINITY;
        return askIn(RETRY_MS);
      }
    }
    if (idle.size > 0) askIn(POLL_MS);
  }

  async function claim(): Promise<void> {
    dismissUnready();
    const groups = createGroups(workflows);
    const asking = chooseLanes([...idle.values()], {
      atMost: LANES_PER_CALL,
      arrivals: forAll ? LANES_PER_CALL : woken,
      groups,
      isBusy,
      warm: warmth.of,
    });
    // What is left of the arrivals is asked for with other lanes.
    const told = asking.length === idle.size ? woken : Math.min(woken, asking.length);
    woken -= told;
    forAll = false;
    const at = now();
    for (const entry of asking) entry.asking = true;
    try {
      const result = await ledger.claim({
        at,
        lanes: asking.map(entry => describe(entry, groups)),
        idle: groups.all().map(({ cannot, engines, spare, warm }) => ({
          cannot,
          engines,
          spare,
          warm: Object.fromEntries(warm),
        })),
        woken: told,
        patienceMs,
        running,
      });
      take(result);
      for (const lane of result.occupied) idle.get(lane)?.resolve('uncertain');
      settle(asking);
      if (result.more && result.claimed.length > 0 && idle.size > 0) forAll = true;
      if (result.blocked) askIn(ALONE_POLL_MS);
      if (result.againAt !== null) askIn(result.againAt - at);
      for (const entry of asking) {
        entry.asking = false;
        if (entry.leaving) entry.resolve(null);
      }
    } catch (error) {
      // The store may have done it although its answer was lost, and may still do it when a call waits somewhere on its way.
      for (const entry of asking) entry.resolve('uncertain');
      throw error;
    }
  }

  function take({ claimed }: ClaimResult): void {
    for (const { lane, before, job } of claimed) {
      ledger.onChange?.(before, job, 'claimed');
      const entry = idle.get(lane);
      if (entry === undefined) throw new Error(`${lane} was claimed for and is not idle`);
      occupy(entry, job);
      entry.resolve(job);
    }
  }

  /** What one lane of an engine did not get, the others would not get either. */
  function settle(asked: readonly Entry[]): void {
    const engines = new Set(asked.filter(({ lease }) => idle.has(lease.lane)).map(({ engine }) => engine));
    for (const entry of idle.values()) if (engines.has(entry.engine)) entry.fresh = false;
  }

  function occupy({ lease, engine }: IdleLane, { request }: Job): void {
    warmth.queued(engine.id, request.workflow);
    busy.set(engine.id, (busy.get(engine.id) ?? new Map()).set(lease.lane, request.workflow));
  }

  function vacate({ lease, engine }: IdleLane): void {
    const lanes = busy.get(engine.id) ?? new Map<string, string>();
    const workflow = lanes.get(lease.lane);
    lanes.delete(lease.lane);
    const last = [...lanes.values()].at(-1);
    // The job that leaves may have been the last, and not begun. An engine whose models were forgotten stays so.
    if (last === undefined) busy.delete(engine.id);
    else if (warmth.of(engine.id)[0] === workflow) warmth.queued(engine.id, last);
  }

  const isBusy = (engine: string): boolean => busy.has(engine);

  /** The lanes of engines that take no jobs now stop to ask. */
  function dismissUnready(): void {
    for (const { engine, resolve } of idle.values()) {
      if (engine.takesJobs()) continue;
      // It may be restarted.
      warmth.forget(engine.id);
      resolve(null);
    }
  }

  function describe(entry: Entry, groups: Groups): AskingLane {
    const { lease, engine } = entry;
    return {
      lease,
      engine: engine.id,
      promptId: randomUUID(),
      group: groups.of(engine).index,
      alone: !isBusy(engine.id),
      warm: warmth.of(engine.id),
      othersCannot: othersCannot(engine, options.engines(), workflows),
    };
  }

  return {
    next(lane, signal) {
      if (signal.aborted || stopped) return Promise.resolve(null);
      const name = lane.lease.lane;
      return new Promise(resolve => {
        const leave = (job: Job | null | 'uncertain'): void => {
          if (idle.get(name) === entry) idle.delete(name);
          signal.removeEventListener('abort', abort);
          resolve(job);
        };
        const entry: Entry = { ...lane, fresh: true, asking: false, leaving: false, resolve: leave };
        const abort = (): void => {
          if (entry.asking) entry.leaving = true;
          else leave(null);
        };
        signal.addEventListener('abort', abort, { once: true });
        idle.set(name, entry);
        ask();
      });
    },
    async during(lane, job, work) {
      occupy(lane, job);
      try {
        return await work();
      } finally {
        vacate(lane);
      }
    },
    idleEngines() {
      const asks = new Set(
        [...idle.values()].flatMap(({ engine, fresh, asking }) => (fresh || asking ? [engine] : [])),
      );
      const engines = new Set([...idle.values()].map(({ engine }) => engine));
      return [...engines].filter(engine => !asks.has(engine) && !isBusy(engine.id) && engine.takesJobs());
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      stopListening();
      await calling;
      for (const { resolve } of idle.values()) resolve(null);
    },
  };
}
