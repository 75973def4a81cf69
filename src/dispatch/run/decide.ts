import type { Job } from '../../jobs/job.ts';
import type { RunLimits } from '../context.ts';
import type { Observation } from './observation.ts';

/** What following a run remembers between two steps. Times are milliseconds since 1970. A change makes a new object. */
export interface FollowState {
  readonly socketOpen: boolean;
  /** It is being opened. */
  readonly socketOpening: boolean;
  /** When to open the socket again, while it is closed. */
  readonly socketRetryAt: number;
  readonly socketRetryMs: number;
  /** The present socket's silence counts from here. */
  readonly socketSince: number;
  /** The next look is due at once. */
  readonly lookNow: boolean;
  readonly lookedAt: number;
  /** An event said that the prompt ended. */
  readonly endKnown: boolean;
  /** Since when the engine has not responded; null while it does. */
  readonly unreachableSince: number | null;
  /** Since when the engine responds, but not to where the prompt is; null while it does. */
  readonly unsureSince: number | null;
  /** A prompt that is absent before this time may still arrive. */
  readonly arrivesBy: number;
  /** The time limit that the run exceeded, as a message; null while it is within all. */
  readonly exceeded: string | null;
  /** Since when the prompt is to stop; null while it may run. */
  readonly stopSince: number | null;
  /** When to ask the engine to stop it the next time. */
  readonly stopAt: number;
  /** When to take a prompt that has not begun from the engine; null: it stays there. */
  readonly withdrawAt: number | null;
}

/** What a run does next. All but `wait` and `giveUp` are followed by the function that takes in how it went. */
export type Step =
  /** Ask the engine to stop the prompt, then look; see `stopped`. */
  | { readonly do: 'stop' }
  /** Take the prompt, which has not begun, from the engine's queue, then look; see `withdrew`. */
  | { readonly do: 'withdraw' }
  /** The engine does not stop the prompt. */
  | { readonly do: 'giveUp' }
  /** Close a socket that no longer gets events; see `socketClosed`. */
  | { readonly do: 'closeSocket' }
  /** Start to open it, see `socketOpening`; later `socketOpened` or `socketFailed`. */
  | { readonly do: 'openSocket' }
  /** Ask queue and history where the prompt is; see `looked`. */
  | { readonly do: 'look' }
  /** Nothing is due before `until`, unless an event comes. */
  | { readonly do: 'wait'; readonly until: number };

/** What a look found. */
export type Found = 'pending' | 'running' | 'ended' | 'absent' | 'unread' | 'hidden' | 'unreachable';

const SOCKET_RETRY_FIRST_MS = 100;
const SOCKET_RETRY_LAST_MS = 4_000;
/** After an event reported the end, the history has its entry within moments (`execution.py`, task_done). */
const END_LOOK_MS = 30;
/** An entry that is missing this long after the end was reported will not come. */
const END_PATIENCE_MS = 3_000;
const UNREACHABLE_LOOK_MS = 1_000;
/** Between looks while no events arrive. */
const POLL_MS = 1_000;
const STOP_RETRY_MS = 1_000;
/** The longest wait, so that a limit is noticed in time although no event comes. */
const LONGEST_WAIT_MS = 1_000;

/**
 * At the start: with the socket that was opened before the submit, or none when a run is resumed or gets no events.
 * `arrivesBy`: until then the engine may take the prompt, because the submit got no clear answer.
 */
export function startFollowing(socketOpen: boolean, at: number, arrivesBy = at): FollowState {
  return {
    socketOpen,
    socketOpening: false,
    socketRetryAt: at,
    socketRetryMs: SOCKET_RETRY_FIRST_MS,
    socketSince: at,
    lookNow: !socketOpen,
    lookedAt: at,
    endKnown: false,
    unreachableSince: null,
    unsureSince: null,
    arrivesBy,
    exceeded: null,
    stopSince: null,
    stopAt: 0,
    withdrawAt: null,
  };
}

/** Takes in what events have shown, whether a cancel is requested, and the time. */
export function noticed(
  state: FollowState,
  seen: Observation,
  job: Pick<Job, 'startedAt'>,
  cancel: boolean,
  at: number,
  limits: RunLimits,
): FollowState {
  const exceeded = state.exceeded ?? exceededLimit(state, seen, job.startedAt, at, limits);
  const ends = seen.endedAt !== null && !state.endKnown;
  return {
    ...state,
    exceeded,
    stopSince: state.stopSince ?? (cancel || exceeded !== null ? at : null),
    endKnown: state.endKnown || ends,
    lookNow: state.lookNow || ends,
  };
}

/** Takes in whether the prompt should leave the engine: one that it has not begun is withdrawn. */
export function noticedLeaving(
  state: FollowState,
  { started }: Pick<Observation, 'started'>,
  leaves: boolean,
  at: number,
): FollowState {
  const withdrawAt = leaves && !started ? (state.withdrawAt ?? at) : null;
  return withdrawAt === state.withdrawAt ? state : { ...state, withdrawAt };
}

/**
 * What to do now. Pure. Each step but `wait` moves its own due time on, so that a wait follows as soon as nothing is overdue;
 * and a wait always ends, after a second at the latest: no run hangs because an event was missed.
 */
export function decide(state: FollowState, seen: Observation, at: number, limits: RunLimits): Step {
  if (state.stopSince !== null) {
    if (at - state.stopSince > limits.stopMs) return { do: 'giveUp' };
    if (at >= state.stopAt) return { do: 'stop' };
  }
  if (state.stopSince === null && state.withdrawAt !== null && at >= state.withdrawAt) {
    return { do: 'withdraw' };
  }
  if (state.socketOpen && isDeaf(state, seen, at, limits)) return { do: 'closeSocket' };
  if (at >= socketDueAt(state)) return { do: 'openSocket' };
  const lookAt = lookDueAt(state, seen, at, limits);
  if (at >= lookAt) return { do: 'look' };
  return {
    do: 'wait',
    until: Math.min(
      lookAt,
      socketDueAt(state),
      (state.stopSince === null ? state.withdrawAt : state.stopAt) ?? Number.POSITIVE_INFINITY,
      at + LONGEST_WAIT_MS,
    ),
  };
}

function socketDueAt(state: FollowState): number {
  return state.socketOpen || state.socketOpening ? Number.POSITIVE_INFINITY : state.socketRetryAt;
}

/** The socket is being opened; meanwhile the run goes on. */
export function socketOpening(state: FollowState): FollowState {
  return { ...state, socketOpening: true };
}

/** The socket closed, by itself or by us: it is opened again at once. */
export function socketClosed(state: FollowState, at: number): FollowState {
  return { ...state, socketOpen: false, socketRetryAt: at };
}

/** Events may have been missed while it was closed, so a look is due. */
export function socketOpened(state: FollowState, at: number): FollowState {
  return {
    ...state,
    socketOpen: true,
    socketOpening: false,
    socketRetryMs: SOCKET_RETRY_FIRST_MS,
    socketSince: at,
    lookNow: true,
  };
}

/** The socket did not open: it is tried again after a pause that doubles each time. */
export function socketFailed(state: FollowState, at: number): FollowState {
  return {
    ...state,
    socketOpening: false,
    socketRetryAt: at + state.socketRetryMs,
    socketRetryMs: Math.min(SOCKET_RETRY_LAST_MS, state.socketRetryMs * 2),
  };
}

/** The engine was asked to stop the prompt; a look follows. */
export function stopped(state: FollowState, at: number): FollowState {
  return { ...state, stopAt: at + STOP_RETRY_MS };
}

/** The engine was asked to delete the prompt from its queue; a look follows. */
export function withdrew(state: FollowState, at: number): FollowState {
  return { ...state, withdrawAt: at + STOP_RETRY_MS };
}

/** Takes in what a look found, and says whether that is the end of the run. */
export function looked(
  state: FollowState,
  found: Found,
  seen: Observation,
  at: number,
  limits: RunLimits,
): { readonly state: FollowState; readonly over: 'ended' | 'absent' | 'unreachable' | null } {
  const unreachableSince = found === 'unreachable' ? (state.unreachableSince ?? at) : null;
  const isUnsure = found === 'unread' || found === 'hidden';
  const unsureSince = isUnsure
    ? (state.unsureSince ?? at)
    : found === 'unreachable'
      ? state.unsureSince
      : null;
  const next = { ...state, lookNow: false, lookedAt: at, unreachableSince, unsureSince };
  switch (found) {
    case 'pending':
    case 'running':
      return { state: next, over: null };
    case 'ended':
      return { state: next, over: 'ended' };
    case 'absent': {
      // A prompt that is known to have ended was not lost: its entry is on the way.
      const isComing = seen.endedAt !== null && at - seen.endedAt < END_PATIENCE_MS;
      return { state: next, over: isComing || at < state.arrivesBy ? null : 'absent' };
    }
    case 'unread': {
      // It has ended, or was lost; the history may become readable.
      const isLost = at - (unsureSince ?? at) >= limits.engineGraceMs;
      return { state: next, over: isLost ? 'absent' : null };
    }
    case 'hidden': {
      // As long as events of it come, or may come, it runs.
      const isLost = at - Math.max(unsureSince ?? at, seen.heardAt) >= limits.runMs;
      return { state: next, over: isLost ? 'absent' : null };
    }
    case 'unreachable': {
      const isLost = unreachableSince !== null && at - unreachableSince >= limits.engineGraceMs;
      return { state: next, over: isLost ? 'unreachable' : null };
    }
    default:
      return found satisfies never;
  }
}

function lookDueAt(state: FollowState, seen: Observation, at: number, limits: RunLimits): number {
  if (state.lookNow) return at;
  if (state.unreachableSince !== null || state.unsureSince !== null)
    return state.lookedAt + Math.min(UNREACHABLE_LOOK_MS, limits.watchdogMs);
  if (state.endKnown) return state.lookedAt + END_LOOK_MS;
  if (!state.socketOpen) return state.lookedAt + Math.min(POLL_MS, limits.watchdogMs);
  // As long as events of the prompt come there is nothing to ask.
  return Math.max(state.lookedAt, seen.heardAt) + limits.watchdogMs;
}

/**
 * Whether the socket is open and yet gets no events, which happens when the engine's handler of an older socket with the
 * same id ends after the new one began (`server.py`): after a silence of three watchdogs, or of four times the job's own
 * longest pause.
 */
function isDeaf(state: FollowState, seen: Observation, at: number, limits: RunLimits): boolean {
  const silence = at - Math.max(seen.heardAt, state.socketSince);
  return seen.started && silence > Math.max(3 * limits.watchdogMs, 4 * seen.longestPause);
}

function exceededLimit(
  state: FollowState,
  seen: Observation,
  startedAt: number | null,
  at: number,
  limits: RunLimits,
): string | null {
  if (!seen.started || startedAt === null) return null;
  if (at - startedAt > limits.runMs) {
    return `The run took longer than ${Math.round(limits.runMs / 1000)} s`;
  }
  // Without events there is no progress to see.
  if (!state.socketOpen) return null;
  // A job whose own steps are slow gets time for several of them.
  const patience = Math.max(limits.stallMs, 5 * seen.longestPause);
  if (at - Math.max(seen.movedAt, state.socketSince) > patience)
    return `The run made no progress for ${Math.round(patience / 1000)} s`;
  return null;
}
