import { z } from 'zod';

/**
 * What a gateway needs of the program that starts and stops engines. `wanted`: jobs wait and no engine is ready. `unfit`: jobs
 * wait that no ready engine can run. `idle`: engines are ready, and there is no job.
 */
const NEED_KINDS = ['wanted', 'unfit', 'idle'] as const;
export type NeedKind = (typeof NEED_KINDS)[number];

/** What the calls for each kind are named, in calls and metrics. */
export const CALLS = {
  wanted: { event: 'engines.wanted', reason: 'no_engine_ready' },
  unfit: { event: 'engines.wanted', reason: 'no_engine_fits' },
  idle: { event: 'engines.idle', reason: 'no_jobs' },
} as const satisfies Record<NeedKind, { readonly event: string; readonly reason: string }>;

/** What a gateway sees. `unknown`: it has not probed its engines yet. */
export type Sight =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'nothing' }
  /** Milliseconds since 1970, by the clock of this gateway. `isLasting`: for long enough to call for it. */
  | { readonly kind: 'wanted' | 'idle'; readonly since: number; readonly isLasting: boolean }
  | {
      readonly kind: 'unfit';
      readonly since: number;
      readonly isLasting: boolean;
      /** Names of those that jobs wait for and no ready engine can run. */
      readonly workflows: readonly string[];
    };

const need = z.object({
  /** The same in all calls for this need. */
  id: z.string(),
  kind: z.enum(NEED_KINDS),
  /** Names of the workflows that an `unfit` one is for. */
  workflows: z.array(z.string()).default([]),
  /** When it began. Times are milliseconds since 1970, by the clock of the store. */
  since: z.number(),
  /** False: it is over. */
  active: z.boolean(),
  /** How many times it was called for. */
  calls: z.number(),
  calledAt: z.number(),
  /** How many calls the receiver accepted, and when it accepted the first. */
  accepted: z.number(),
  acceptedAt: z.number().nullable(),
  /** Calls in a row that failed. */
  failures: z.number(),
  /** When to call again. */
  nextAt: z.number(),
});

/** A need that gateways agree on: one of them calls for it at a time. A change makes a new object. */
export type Need = z.output<typeof need>;

/** Parses what `JSON.stringify` made of a need; null: there was none. Throws for anything else. */
export function readNeed(text: string | null): Need | null {
  return text === null ? null : need.parse(JSON.parse(text));
}

/** Milliseconds. */
export interface CallPauses {
  /** Between an accepted call and the next; each further one is twice as long, up to an hour. */
  readonly repeatMs: number;
  /** Between a failed call and the next; each further one is three times as long, up to ten minutes. */
  readonly retryMs: number;
  /** A call takes no longer: when a gateway dies during one, another gateway calls after this time. */
  readonly callMs: number;
}

const LONGEST_REPEAT_MS = 60 * 60_000;
const LONGEST_RETRY_MS = 10 * 60_000;
/**
 * Accepted calls for an `unfit` need: engines that lack a model may be all that the receiver has. After these the need is called
 * for again only with another workflow.
 */
const UNFIT_CALLS = 3;
const NEVER = Number.MAX_SAFE_INTEGER;

/**
 * What to do about a need at `at`: store that it is over, store it and call for it, or nothing (null). A new need has the id
 * `newId`. A need that begins soon after another of its kind waits for `repeatMs`, so that gateways that see different
 * engines do not call all the time. Pure.
 */
export function nextNeed(
  known: Need | null,
  sight: Sight,
  at: number,
  newId: string,
  { repeatMs, callMs }: CallPauses,
): { readonly need: Need; readonly call: boolean } | null {
  if (sight.kind === 'unknown') return null;
  const workflows = sight.kind === 'unfit' ? [...sight.workflows] : [];
  const goesOn = known?.active === true && known.kind === sight.kind;
  if (goesOn && workflows.every(name => known.workflows.includes(name))) {
    if (at < known.nextAt) return null;
    return { need: { ...known, calls: known.calls + 1, calledAt: at, nextAt: at + callMs }, call: true };
  }
  const over = known?.active === true && !goesOn ? { need: { ...known, active: false }, call: false } : null;
  if (sight.kind === 'nothing' || !sight.isLasting) return over;
  if (known?.kind === sight.kind && at < known.calledAt + repeatMs) return over;
  const begun: Need = {
    id: newId,
    kind: sight.kind,
    workflows,
    since: Math.min(sight.since, at),
    active: true,
    calls: 1,
    calledAt: at,
    accepted: 0,
    acceptedAt: null,
    failures: 0,
    nextAt: at + callMs,
  };
  return { need: begun, call: true };
}

/** The need after a call that ended at `at`. `retryAfterMs`: the pause that the receiver requested. Pure. */
export function afterCall(
  called: Need,
  outcome: { readonly accepted: true } | { readonly accepted: false; readonly retryAfterMs: number | null },
  at: number,
  { repeatMs, retryMs }: CallPauses,
): Need {
  if (outcome.accepted) {
    const accepted = called.accepted + 1;
    const pause = Math.min(repeatMs * 2 ** called.accepted, Math.max(repeatMs, LONGEST_REPEAT_MS));
    return {
      ...called,
      accepted,
      acceptedAt: called.acceptedAt ?? at,
      failures: 0,
      nextAt: called.kind === 'unfit' && accepted >= UNFIT_CALLS ? NEVER : at + pause,
    };
  }
  const pause = Math.min(retryMs * 3 ** called.failures, Math.max(retryMs, LONGEST_RETRY_MS));
  const nextAt = at + Math.max(pause, outcome.retryAfterMs ?? 0);
  return { ...called, failures: called.failures + 1, nextAt };
}

/** A file in a folder of ComfyUI's models, or one of the alternatives to it. */
export interface RequiredModel {
  readonly folder: string;
  readonly file: string;
  readonly alternatives: readonly string[];
}

/** An engine that is starting on request. */
export interface RequestedEngine {
  /** When a call for it was accepted, in milliseconds since 1970. */
  readonly at: number;
  /** Names of the workflows that it is for; null: for any. */
  readonly workflows: readonly string[] | null;
}

/** A call for a need, with what it tells. Times are milliseconds since 1970. */
export type EngineCall = {
  /** The id of the need. */
  readonly id: string;
  readonly at: number;
  readonly since: number;
  /** 1 for the first call for the need. */
  readonly call: number;
} & (
  | {
      readonly kind: 'wanted' | 'unfit';
      /** Jobs that wait for an engine; for an `unfit` need at most those that are next. */
      readonly waiting: number;
      readonly oldestSeconds: number;
      /** Those of the jobs that are next. */
      readonly workflows: readonly string[];
      /** The files that these workflows require. */
      readonly models: readonly RequiredModel[];
    }
  | {
      readonly kind: 'idle';
      /** The ids of the engines that are ready. */
      readonly engines: readonly string[];
    }
);
