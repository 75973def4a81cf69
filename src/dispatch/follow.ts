import type { HistoryEntry } from '../comfyui/answers.ts';
import type { EngineEvent } from '../comfyui/events.ts';
import { type EngineSocket, openEngineSocket } from '../comfyui/socket.ts';
import { EngineUnreachable } from '../comfyui/unreachable.ts';
import type { ProgressPlan } from '../workflows/bind/plan.ts';
import type { DispatchContext } from './context.ts';
import type { Engine } from './engine.ts';
import { type HeldJob, RunOver } from './held-job.ts';
import type { Inbox } from './inbox.ts';
import { findPrompt, stopPrompt } from './lookup.ts';
import { createObserver } from './observation.ts';
import type { PreviewKeeper } from './preview-keeper.ts';

/** What wakes a run. */
export type RunSignal =
  | { kind: 'event'; event: EngineEvent }
  | { kind: 'socket-closed' }
  /** The record changed under us; it tells by itself what is wanted. */
  | { kind: 'job-changed' }
  | { kind: 'gone' }
  | { kind: 'leave' };

export type FollowResult =
  | { kind: 'ended'; entry: HistoryEntry; struck: string | null }
  /** The engine answers and does not know the prompt (any more). */
  | { kind: 'absent'; struck: string | null }
  /** The engine did not answer for too long. */
  | { kind: 'unreachable'; reason: string }
  /** It was told to stop and does not. */
  | { kind: 'stuck'; struck: string | null }
  /** This process ends: the job stays as it is. */
  | { kind: 'left' };

export interface FollowOptions {
  readonly context: DispatchContext;
  readonly engine: Engine;
  readonly held: HeldJob;
  readonly promptId: string;
  readonly plan: ProgressPlan;
  readonly inbox: Inbox<RunSignal>;
  readonly previews: PreviewKeeper;
  readonly wantsCancel: () => boolean;
  /** The socket that was opened before the submit; null when the run is taken up again. */
  readonly socket: EngineSocket | null;
}

const SOCKET_RETRY_FIRST_MS = 100;
const SOCKET_RETRY_LAST_MS = 4_000;
/** After an event said that it is over, the history has it within moments (`execution.py`, task_done). */
const END_LOOK_MS = 30;
const STOP_RETRY_MS = 1_000;
/** An entry that is not there this long after the end was told is not coming. */
const END_PATIENCE_MS = 3_000;

/**
 * Follows a prompt that the engine has, until the engine's own account says that it is over. Events are hints:
 * they make the progress live and the end fast. Whatever is missed, a look at queue and history finds: at each
 * return of the socket, at each silence, and after each event that speaks of an end.
 */
export async function followPrompt(options: FollowOptions): Promise<FollowResult> {
  const { context, engine, held, promptId, inbox, previews } = options;
  const { limits, now } = context;
  const observer = createObserver({
    promptId,
    plan: options.plan,
    engine: engine.id,
    pace: context.pace,
    now,
    job: () => held.job,
  });
  const socketOptions = {
    ...engine.client.socketUrl(promptId),
    answersFlags: engine.status().previewMetadata,
    onEvent: (event: EngineEvent) => inbox.push({ kind: 'event', event }),
    onClose: () => inbox.push({ kind: 'socket-closed' }),
  };
  let socket = options.socket;
  let socketRetryMs = SOCKET_RETRY_FIRST_MS;
  let socketRetryAt = now();
  let silentSince = now();
  /** A look is wanted at once; otherwise it is due after a silence, or soon after an end was told. */
  let lookNow = socket === null;
  let lookedAt = now();
  let endKnown = false;
  let unreachableSince: number | null = null;
  let struck: string | null = null;
  let stopSince: number | null = null;
  let stopAt = 0;

  async function reopenSocket(): Promise<void> {
    try {
      socket = await openEngineSocket(socketOptions);
      socketRetryMs = SOCKET_RETRY_FIRST_MS;
      silentSince = now();
      lookNow = true;
    } catch (error) {
      context.log.debug({ engine: engine.id, reason: String(error) }, 'engine socket did not open');
      socketRetryAt = now() + socketRetryMs;
      socketRetryMs = Math.min(SOCKET_RETRY_LAST_MS, socketRetryMs * 2);
    }
  }

  async function look(): Promise<FollowResult | null> {
    lookNow = false;
    try {
      const place = await findPrompt(engine.client, promptId);
      unreachableSince = null;
      switch (place.kind) {
        case 'ended':
          await start();
          return { kind: 'ended', entry: place.entry, struck };
        case 'absent': {
          // Heard to have ended, so it was not lost: its entry is on the way.
          const { endedAt } = observer.seen;
          if (endedAt !== null && now() - endedAt < END_PATIENCE_MS) return null;
          return { kind: 'absent', struck };
        }
        case 'running':
          observer.foundRunning();
          return null;
        case 'pending':
          await held.apply({
            type: 'moved',
            at: now(),
            queuePosition: place.ahead,
            etaSeconds: held.job.etaSeconds,
          });
          return null;
        default:
          return place satisfies never;
      }
    } catch (error) {
      if (!(error instanceof EngineUnreachable)) throw error;
      unreachableSince ??= now();
      if (now() - unreachableSince < limits.engineGraceMs) return null;
      return { kind: 'unreachable', reason: error.message };
    } finally {
      lookedAt = now();
    }
  }

  function lookDueAt(): number {
    if (lookNow) return now();
    if (endKnown) return lookedAt + END_LOOK_MS;
    if (unreachableSince !== null) return lookedAt + Math.min(1_000, limits.watchdogMs);
    // As long as the prompt is heard of there is nothing to ask.
    return Math.max(lookedAt, observer.seen.heardAt) + limits.watchdogMs;
  }

  async function start(): Promise<void> {
    if (held.job.status === 'QUEUED') await held.apply({ type: 'started', at: now() });
  }

  async function report(): Promise<void> {
    if (!observer.seen.started) return;
    await start();
    await held.apply({ type: 'progressed', at: now(), ...observer.progress(held.job) });
    const preview = observer.takePreview();
    if (preview !== null) await previews.keep(preview, held);
  }

  async function stop(): Promise<FollowResult | null> {
    stopSince ??= now();
    if (now() - stopSince > limits.stopMs) return { kind: 'stuck', struck };
    if (now() < stopAt) return null;
    stopAt = now() + STOP_RETRY_MS;
    try {
      await stopPrompt(engine.client, promptId, engine.status().targetedInterrupt);
    } catch (error) {
      if (!(error instanceof EngineUnreachable)) throw error;
      context.log.debug({ engine: engine.id, reason: error.message }, 'cancel did not reach the engine');
    }
    return look();
  }

  try {
    for (;;) {
      const wakeAt = Math.min(
        lookDueAt(),
        socket === null ? socketRetryAt : Number.POSITIVE_INFINITY,
        stopSince === null ? Number.POSITIVE_INFINITY : stopAt,
      );
      const signals = await inbox.take(Math.max(0, Math.min(wakeAt - now(), 1_000)));
      for (const signal of signals) {
        switch (signal.kind) {
          case 'event':
            observer.take(signal.event);
            break;
          case 'socket-closed':
            socket = null;
            socketRetryAt = now();
            break;
          case 'gone':
            throw new RunOver('gone');
          case 'leave':
            return { kind: 'left' };
          case 'job-changed':
            break;
          default:
            signal satisfies never;
        }
      }
      await report();

      struck ??= struckLimit(limits, observer.seen, now(), held.job.startedAt);
      if (options.wantsCancel() || struck !== null) {
        const result = await stop();
        if (result !== null) return result;
      }
      if (observer.seen.endedAt !== null && !endKnown) {
        endKnown = true;
        lookNow = true;
      }
      const silence = now() - Math.max(observer.seen.heardAt, silentSince);
      const deaf =
        observer.seen.started && silence > deafAfter(limits.watchdogMs, observer.seen.longestPause);
      if (socket !== null && deaf) {
        // The old handler must have ended before the new socket opens, or its end would make the new one deaf.
        const old: EngineSocket = socket;
        socket = null;
        await old.close();
      }
      if (socket === null && now() >= socketRetryAt) await reopenSocket();
      if (now() >= lookDueAt()) {
        const result = await look();
        if (result !== null) return result;
      }
    }
  } finally {
    await socket?.close();
  }
}

/** A socket is taken for deaf after three watchdogs, or four times the job's own longest pause, of silence. */
function deafAfter(watchdogMs: number, longestPause: number): number {
  return Math.max(3 * watchdogMs, 4 * longestPause);
}

function struckLimit(
  limits: DispatchContext['limits'],
  seen: { started: boolean; movedAt: number; longestPause: number },
  at: number,
  startedAt: number | null,
): string | null {
  if (!seen.started || startedAt === null) return null;
  if (at - startedAt > limits.runMs) {
    return `The run took longer than ${Math.round(limits.runMs / 1000)} s`;
  }
  // A job whose own steps are slow is given several of them.
  const patience = Math.max(limits.stallMs, 5 * seen.longestPause);
  if (at - seen.movedAt > patience) return `The run made no progress for ${Math.round(patience / 1000)} s`;
  return null;
}
