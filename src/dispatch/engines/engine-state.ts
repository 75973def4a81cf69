/**
 * `STARTING`: not probed yet. `READY`: takes jobs. `DOWN`: does not respond. `UNFIT`: responds, but can run none of the
 * workflows. `SET_ASIDE`: failed too often. `DRAINED`: takes no more jobs, set by an operator. `LEAVING`: takes no more
 * jobs, and is forgotten when its last one has ended.
 */
export const ENGINE_STATES = [
  'STARTING',
  'READY',
  'DOWN',
  'UNFIT',
  'SET_ASIDE',
  'DRAINED',
  'LEAVING',
] as const;
export type EngineState = (typeof ENGINE_STATES)[number];

/** What the dispatcher knows of an engine's health. Times are milliseconds since 1970. A change makes a new object. */
export interface EngineHealth {
  readonly state: EngineState;
  /** Why it is not READY. */
  readonly reason: string | null;
  /** When it became DOWN; null in every other state. */
  readonly downSince: number | null;
  /** When to probe it next. */
  readonly probeAt: number;
  /** When its nodes and files were read; null when they must be read before it may run anything. */
  readonly inventoryAt: number | null;
  /** Read them again at the next probe, whatever their age. */
  readonly recheck: boolean;
  /** Why it takes no jobs although it may be healthy; null: it takes them. */
  readonly hold: EngineHold | null;
  /** Probes in a row that failed. */
  readonly failedProbes: number;
  /** Losses in a row, without a good run between. */
  readonly strikes: number;
  /** Runs in a row that ran out of memory. */
  readonly memoryFailures: number;
  readonly setAside: { readonly until: number; readonly reason: string } | null;
}

/** An engine that takes no more jobs, with the reason for operators. */
export interface EngineHold {
  readonly state: 'DRAINED' | 'LEAVING';
  readonly reason: string;
}

export type EngineHealthEvent =
  /** The probe began to read nodes and files: a recheck that is requested from now on needs another probe. */
  | { readonly type: 'readingInventory' }
  /**
   * The probe succeeded. `abandoned`: prompts that it was told to stop and still has. `unfit`: why it can run no workflow;
   * null when it can run some.
   */
  | {
      readonly type: 'responded';
      readonly readInventory: boolean;
      readonly abandoned: number;
      readonly unfit: string | null;
    }
  | { readonly type: 'probeFailed'; readonly reason: string }
  /** A run could not reach it, or found it stuck. */
  | { readonly type: 'lost'; readonly reason: string }
  | { readonly type: 'ranOutOfMemory' }
  | { readonly type: 'ranWell' }
  /** An operator drained it or it leaves; null: neither, or no longer. */
  | { readonly type: 'held'; readonly hold: EngineHold | null }
  /** The workflows changed, or perhaps the engine's nodes and files. */
  | { readonly type: 'recheckRequested' };

/** Runs out of memory in a row after which an engine is set aside. */
const MEMORY_LIMIT = 3;
/** Losses in a row after which an engine that responds is still not trusted. */
const STRIKE_LIMIT = 4;
const LONGEST_ASIDE_MS = 300_000;
const FIRST_ASIDE_MS = 500;
const FIRST_MEMORY_ASIDE_MS = 5_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 15_000;
/** `object_info` is large and changes only when nodes or models are installed. */
const INVENTORY_MS = 60_000;

/** An engine that was never probed; its first probe is due at once. */
export function startHealth(at: number): EngineHealth {
  return {
    state: 'STARTING',
    reason: null,
    downSince: null,
    probeAt: at,
    inventoryAt: null,
    recheck: false,
    hold: null,
    failedProbes: 0,
    strikes: 0,
    memoryFailures: 0,
    setAside: null,
  };
}

/** Whether a probe at this time must read the engine's nodes and files too. */
export function needsInventory({ state, recheck, inventoryAt }: EngineHealth, at: number): boolean {
  return state !== 'READY' || recheck || inventoryAt === null || at - inventoryAt > INVENTORY_MS;
}

/**
 * The engine's health after an event at `at`; `probeMs` is the time between two probes of a healthy engine. Pure. The next
 * probe is always at most `probeMs` or 15 s away, whichever is longer.
 */
export function nextHealth(
  health: EngineHealth,
  event: EngineHealthEvent,
  at: number,
  probeMs: number,
): EngineHealth {
  const next = afterEvent(health, event, at, probeMs);
  const downSince = next.state === 'DOWN' ? (health.downSince ?? at) : null;
  return next.downSince === downSince ? next : { ...next, downSince };
}

function afterEvent(
  health: EngineHealth,
  event: EngineHealthEvent,
  at: number,
  probeMs: number,
): EngineHealth {
  switch (event.type) {
    case 'readingInventory':
      return { ...health, recheck: false };
    case 'responded':
      return responded(health, event, at, probeMs);
    case 'probeFailed': {
      const failedProbes = health.failedProbes + 1;
      const pause = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failedProbes - 1));
      return {
        ...health,
        state: 'DOWN',
        reason: event.reason,
        failedProbes,
        inventoryAt: null,
        probeAt: at + pause,
      };
    }
    case 'lost': {
      const strikes = health.strikes + 1;
      const next = { ...health, strikes, inventoryAt: null, probeAt: at };
      if (strikes >= STRIKE_LIMIT) {
        const reason = `was lost ${strikes} times in a row: ${event.reason}`;
        return setAside(next, reason, at, FIRST_ASIDE_MS * 2 ** (strikes - STRIKE_LIMIT));
      }
      return health.state === 'READY' ? { ...next, state: 'DOWN', reason: event.reason } : next;
    }
    case 'ranOutOfMemory': {
      const memoryFailures = health.memoryFailures + 1;
      const next = { ...health, memoryFailures };
      if (memoryFailures < MEMORY_LIMIT) return next;
      const reason = `ran out of memory ${memoryFailures} times in a row`;
      return setAside(next, reason, at, FIRST_MEMORY_ASIDE_MS * 2 ** (memoryFailures - MEMORY_LIMIT));
    }
    case 'ranWell':
      return { ...health, memoryFailures: 0, strikes: 0 };
    case 'held': {
      const { hold } = event;
      if (hold !== null) return { ...health, hold, ...hold };
      if (health.state !== health.hold?.state) return { ...health, hold };
      return { ...health, hold, state: 'STARTING', reason: null, probeAt: at };
    }
    case 'recheckRequested':
      return { ...health, recheck: true, probeAt: at };
    default:
      return event satisfies never;
  }
}

function responded(
  before: EngineHealth,
  event: Extract<EngineHealthEvent, { type: 'responded' }>,
  at: number,
  probeMs: number,
): EngineHealth {
  const health = {
    ...before,
    failedProbes: 0,
    inventoryAt: event.readInventory ? at : before.inventoryAt,
    ...stateOf(before, event, at),
  };
  // The engine may have been lost during the probe.
  if (health.recheck || health.inventoryAt === null) return { ...health, probeAt: at };
  if (health.state !== 'SET_ASIDE') return { ...health, probeAt: at + probeMs };
  const left = (health.setAside?.until ?? at) - at;
  return { ...health, probeAt: at + Math.max(FIRST_RETRY_MS, Math.min(probeMs, left)) };
}

/** The state of an engine that responds. */
function stateOf(
  health: EngineHealth,
  { abandoned, unfit }: Extract<EngineHealthEvent, { type: 'responded' }>,
  at: number,
): Pick<EngineHealth, 'state' | 'reason'> {
  if (health.hold !== null) return health.hold;
  if (abandoned > 0) return { state: 'SET_ASIDE', reason: 'still has a prompt that it was told to stop' };
  if (health.setAside !== null && at < health.setAside.until) {
    return { state: 'SET_ASIDE', reason: health.setAside.reason };
  }
  return unfit === null ? { state: 'READY', reason: null } : { state: 'UNFIT', reason: unfit };
}

function setAside(health: EngineHealth, reason: string, at: number, ms: number): EngineHealth {
  const until = at + Math.min(LONGEST_ASIDE_MS, ms);
  return { ...health, state: 'SET_ASIDE', reason, setAside: { until, reason } };
}
