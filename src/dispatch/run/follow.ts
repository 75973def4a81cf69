import type { HistoryEntry } from '../../comfyui/answers.ts';
import type { EngineEvent } from '../../comfyui/events.ts';
import type { EngineSocket } from '../../comfyui/socket.ts';
import { EngineUnreachable } from '../../comfyui/unreachable.ts';
import type { ProgressPlan } from '../../workflows/bind/plan.ts';
import type { DispatchContext } from '../context.ts';
import type { Engine } from '../engines/engine.ts';
import type { Moves } from '../lanes/moves.ts';
import { nameOf } from '../pace.ts';
import {
  decide,
  looked,
  noticed,
  noticedLeaving,
  socketClosed,
  socketFailed,
  socketOpened,
  socketOpening,
  startFollowing,
  stopped,
  withdrew,
} from './decide.ts';
import { collectEvidence } from './evidence.ts';
import { type HeldJob, type PreviewKeeper, RunOver } from './held-job.ts';
import { type Inbox, openRunSocket, type RunSignal } from './inbox.ts';
import { findPrompt, stopPrompt, type Whereabouts } from './lookup.ts';
import { createObserver } from './observation.ts';

/** A socket that is retried at this pause has been closed for a while, in milliseconds. */
const DEAF_RETRY_MS = 1_000;

export type FollowResult =
  /** The history says so, or events do in its place. */
  | { kind: 'ended'; entry: HistoryEntry; exceeded: string | null }
  /** The engine responds and does not know the prompt, or no longer; `reason` says what was seen. */
  | { kind: 'absent'; exceeded: string | null; reason: string }
  /** The engine no longer has the prompt, which it had not begun: it was taken back, for this reason. */
  | { kind: 'withdrawn'; reason: string }
  /** The engine did not respond for too long. */
  | { kind: 'unreachable'; reason: string }
  /** The engine does not stop the prompt. */
  | { kind: 'stuck'; exceeded: string | null }
  /** This process ends: the job stays as it is. */
  | { kind: 'left' };

export interface FollowOptions {
  readonly context: DispatchContext;
  readonly engine: Engine;
  readonly moves: Moves;
  readonly held: HeldJob;
  readonly clientId: string;
  readonly plan: ProgressPlan;
  /** The node whose files are the output images. */
  readonly outputNode: string;
  readonly inbox: Inbox<RunSignal>;
  readonly previews: PreviewKeeper;
  readonly wantsCancel: () => boolean;
  /** The socket that was opened before the submit; null when a run is resumed, or the engine's sockets do not open. */
  readonly socket: EngineSocket | null;
  /** Whether the engine answered with the id of the prompt. */
  readonly confirmed: boolean;
  /** Milliseconds for which the engine may still take a prompt that it does not have. */
  readonly arrivesInMs: number;
}

/**
 * Follows a prompt that the engine has, until the engine's queue or history says that it is over. Events are hints: they
 * make the progress live and the end quick, and tell of the end where the history cannot. What they miss is found by
 * looking at queue and history. When to do what is decided in `decide.ts`; this function does it.
 */
export async function followPrompt(options: FollowOptions): Promise<FollowResult> {
  const { context, engine, moves, held, clientId, inbox, previews } = options;
  const { limits, now, log } = context;
  const { plan } = options;
  const { workflow } = held.job.request;
  const observer = createObserver({
    promptId: clientId,
    plan,
    expect: () => context.pace.expect(nameOf(engine), workflow, plan),
    learn: nodes =>
      context.pace.learn(nameOf(engine), { workflow, shape: plan.shape, nodes, job: null }, held.job.id),
    startedAt: held.job.startedAt,
    now,
  });
  const evidence = collectEvidence();
  const leaving = new AbortController();
  let { socket } = options;
  let opening: Promise<EngineSocket | null> = Promise.resolve(null);
  let { confirmed } = options;
  /** The engine was away in between: then what it no longer knows was lost by a restart. */
  let away = false;
  /** The last look found the prompt in the queue of the engine. */
  let pending = false;
  /** Why the engine was asked to delete the prompt, which it may not have begun; null: it was not. */
  let withdrawn: string | null = null;
  const since = now();
  let state = startFollowing(socket !== null, now(), now() + options.arrivesInMs);

  /** Opens it beside the run: a proxy may let the handshake hang. How it went comes into the inbox. */
  function openSocket(): void {
    state = socketOpening(state);
    opening = openRunSocket(engine, clientId, inbox, leaving.signal).then(
      opened => {
        inbox.push({ kind: 'socket-opened', socket: opened });
        return opened;
      },
      error => {
        log.debug({ engine: engine.id, err: error }, 'the engine socket did not open');
        inbox.push({ kind: 'socket-failed' });
        return null;
      },
    );
  }

  async function closeSocket(): Promise<void> {
    const old = socket;
    socket = null;
    // The old handler must have ended before the new socket opens, or its end would make the new one deaf.
    await old?.close();
    state = socketClosed(state, now());
  }

  /** Asks the engine where the prompt is. Returns a result when the run is over. */
  async function look(): Promise<FollowResult | null> {
    let place: Whereabouts | { kind: 'unreachable'; reason: string };
    try {
      const promptId = held.job.promptId ?? clientId;
      place = await findPrompt(engine.client, { promptId, clientId, confirmed });
    } catch (error) {
      if (!(error instanceof EngineUnreachable)) throw error;
      place = { kind: 'unreachable', reason: error.message };
    }
    const after = looked(state, place.kind, observer.seen, now(), limits);
    state = after.state;
    pending = place.kind === 'pending';
    const { exceeded } = state;
    if ('promptId' in place) await rename(place.promptId);
    switch (place.kind) {
      case 'pending': {
        const { etaSeconds } = held.job;
        const waitCode = 'ENGINE_QUEUE';
        await held.apply({ type: 'moved', at: now(), queuePosition: place.ahead, etaSeconds, waitCode });
        return null;
      }
      case 'running':
        if (!observer.seen.started) context.observer.missed(engine.id, 'start');
        observer.foundRunning();
        return null;
      case 'ended':
        if (observer.seen.endedAt === null) context.observer.missed(engine.id, 'end');
        await start();
        return { kind: 'ended', entry: place.entry, exceeded };
      case 'absent':
      case 'unread':
      case 'hidden': {
        const heard = evidence.entry(options.outputNode);
        // Where the queue cannot be read, the prompt may go on after its output node.
        if (heard !== null && (place.kind !== 'hidden' || state.endKnown)) {
          await start();
          return { kind: 'ended', entry: heard, exceeded };
        }
        if (after.over === null) return null;
        if (withdrawn !== null && place.kind === 'absent' && !observer.seen.started) {
          return { kind: 'withdrawn', reason: withdrawn };
        }
        return { kind: 'absent', exceeded, reason: whyAbsent(place, away) };
      }
      case 'unreachable':
        away = true;
        return after.over === null ? null : place;
      default:
        return place satisfies never;
    }
  }

  /** The engine has the prompt under this id: stored before anything else, so that it can be found again. */
  async function rename(promptId: string): Promise<void> {
    confirmed = true;
    if (promptId !== held.job.promptId) await held.apply({ type: 'renamed', at: now(), promptId });
  }

  async function start(): Promise<void> {
    if (held.job.status === 'QUEUED') {
      await held.apply({ type: 'started', at: now(), live: socket !== null });
      return;
    }
    // A socket that closes for a moment is not worth a line in the job's log.
    const isDeaf = socket === null && state.socketRetryMs > DEAF_RETRY_MS;
    if (isDeaf || (socket !== null && held.job.live === false)) {
      await held.apply({ type: 'listening', at: now(), live: !isDeaf });
    }
  }

  /** Stores what events have shown since the last time. */
  async function report(): Promise<void> {
    if (!observer.seen.started) return;
    await start();
    const progress = observer.progress();
    if (progress !== null) await held.apply({ type: 'progressed', at: now(), ...progress });
    const preview = observer.takePreview();
    if (preview !== null) await previews.keep(preview, held);
  }

  async function stop(): Promise<FollowResult | null> {
    try {
      const promptId = held.job.promptId ?? clientId;
      await stopPrompt(engine.client, promptId, engine.status().targetedInterrupt);
    } catch (error) {
      if (!(error instanceof EngineUnreachable)) throw error;
      log.debug({ engine: engine.id, err: error }, 'the stop request did not reach the engine');
    }
    state = stopped(state, now());
    return look();
  }

  async function withdraw(reason: string): Promise<FollowResult | null> {
    if (engine.leaving() === null) {
      // An engine that does not say where the prompt is would not say either whether it took it back.
      const result = await look();
      if (result !== null || !pending) {
        state = withdrew(state, now());
        return result;
      }
    }
    withdrawn = reason;
    try {
      await engine.client.deletePending(held.job.promptId ?? clientId);
    } catch (error) {
      if (!(error instanceof EngineUnreachable)) throw error;
      log.debug({ engine: engine.id, err: error }, 'the prompt could not be withdrawn');
    }
    state = withdrew(state, now());
    return look();
  }

  /** Takes in an event. The observer knows the prompt by the id that was requested, whatever id the engine gave it. */
  function hear(event: EngineEvent): void {
    const isOurs = 'promptId' in event && event.promptId === held.job.promptId;
    if (isOurs) evidence.take(event);
    observer.take(isOurs ? { ...event, promptId: clientId } : event);
  }

  /** Returns true when this process ends. Throws RunOver when the job was deleted. */
  function take(signal: RunSignal): boolean {
    switch (signal.kind) {
      case 'event':
        hear(signal.event);
        return false;
      case 'socket-opened':
        ({ socket } = signal);
        state = socketOpened(state, now());
        return false;
      case 'socket-failed':
        state = socketFailed(state, now());
        return false;
      case 'socket-closed':
        socket = null;
        away = true;
        state = socketClosed(state, now());
        return false;
      case 'gone':
        throw new RunOver('gone');
      case 'leave':
        return true;
      case 'cancel':
        return false;
      default:
        return signal satisfies never;
    }
  }

  try {
    for (;;) {
      for (const signal of inbox.drain()) if (take(signal)) return { kind: 'left' };
      await report();
      state = noticed(state, observer.seen, held.job, options.wantsCancel(), now(), limits);
      const mayLeave = held.job.status === 'QUEUED' && !observer.seen.started;
      const leave = mayLeave ? await moves.reasonFor(held.job, engine, since) : null;
      state = noticedLeaving(state, observer.seen, leave !== null, now());
      const step = decide(state, observer.seen, now(), limits);
      let result: FollowResult | null = null;
      switch (step.do) {
        case 'wait':
          await inbox.wait(Math.min(step.until, observer.tickAt()) - now());
          break;
        case 'look':
          result = await look();
          break;
        case 'openSocket':
          openSocket();
          break;
        case 'closeSocket':
          await closeSocket();
          break;
        case 'stop':
          result = await stop();
          break;
        case 'withdraw':
          result = leave === null ? null : await withdraw(leave);
          break;
        case 'giveUp':
          result = { kind: 'stuck', exceeded: state.exceeded };
          break;
        default:
          step satisfies never;
      }
      if (result !== null) return result;
    }
  } finally {
    observer.over();
    leaving.abort();
    // It may have opened without being taken from the inbox.
    for (const open of new Set([socket, await opening])) await open?.close();
  }
}

/** What was seen of a prompt that is lost. */
function whyAbsent(
  place: Extract<Whereabouts, { kind: 'absent' | 'unread' | 'hidden' }>,
  away: boolean,
): string {
  switch (place.kind) {
    case 'absent':
      return away
        ? 'the engine no longer knows the prompt: it was restarted'
        : 'neither the queue nor the history of the engine has the prompt, and no event told its end';
    case 'unread':
      return `the engine's queue no longer has the prompt, and its history cannot be read: ${place.reason}`;
    case 'hidden':
      return `the engine does not say where the prompt is: ${place.reason}`;
    default:
      return place satisfies never;
  }
}
