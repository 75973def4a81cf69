import type { HistoryEntry } from '../comfyui/answers.ts';
import { EngineUnreachable } from '../comfyui/client.ts';
import type { EngineEvent } from '../comfyui/events.ts';
import { type EngineSocket, openEngineSocket } from '../comfyui/socket.ts';
import type { ProgressPlan } from '../workflows/bind/plan.ts';
import type { DispatchContext } from './context.ts';
import {
  decide,
  looked,
  noticed,
  socketClosed,
  socketFailed,
  socketOpened,
  startFollowing,
  stopped,
} from './decide.ts';
import type { Engine } from './engine.ts';
import { type HeldJob, type PreviewKeeper, RunOver } from './held-job.ts';
import { findPrompt, stopPrompt, type Whereabouts } from './lookup.ts';
import { createObserver } from './observation.ts';

/** What wakes a run. */
export type RunSignal =
  | { kind: 'event'; event: EngineEvent }
  | { kind: 'socket-closed' }
  /** A cancel was requested; `wantsCancel` says so too. */
  | { kind: 'cancel' }
  /** The job was deleted. */
  | { kind: 'gone' }
  /** This process ends. */
  | { kind: 'leave' };

export type FollowResult =
  | { kind: 'ended'; entry: HistoryEntry; exceeded: string | null }
  /** The engine responds and does not know the prompt, or no longer. */
  | { kind: 'absent'; exceeded: string | null }
  /** The engine did not respond for too long. */
  | { kind: 'unreachable'; reason: string }
  /** The engine does not stop the prompt. */
  | { kind: 'stuck'; exceeded: string | null }
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
  /** The socket that was opened before the submit; null when a run is resumed. */
  readonly socket: EngineSocket | null;
}

/**
 * Follows a prompt that the engine has, until the engine's queue or history says that it is over. Events are hints: they
 * make the progress live and the end quick. What they miss is found by looking at queue and history. When to do what is
 * decided in `decide.ts`; this function does it.
 */
export async function followPrompt(options: FollowOptions): Promise<FollowResult> {
  const { context, engine, held, promptId, inbox, previews } = options;
  const { limits, now, log } = context;
  const observer = createObserver({
    promptId,
    plan: options.plan,
    engine: engine.id,
    pace: context.pace,
    now,
    job: () => held.job,
  });
  let socket = options.socket;
  let state = startFollowing(socket !== null, now());

  async function openSocket(): Promise<void> {
    try {
      socket = await openRunSocket(engine, promptId, inbox);
      state = socketOpened(state, now());
    } catch (error) {
      log.debug({ engine: engine.id, err: error }, 'the engine socket did not open');
      state = socketFailed(state, now());
    }
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
      place = await findPrompt(engine.client, promptId);
    } catch (error) {
      if (!(error instanceof EngineUnreachable)) throw error;
      place = { kind: 'unreachable', reason: error.message };
    }
    const after = looked(state, place.kind, observer.seen, now(), limits);
    state = after.state;
    const { exceeded } = state;
    switch (place.kind) {
      case 'pending': {
        const { etaSeconds } = held.job;
        await held.apply({ type: 'moved', at: now(), queuePosition: place.ahead, etaSeconds });
        return null;
      }
      case 'running':
        observer.foundRunning();
        return null;
      case 'ended':
        await start();
        return { kind: 'ended', entry: place.entry, exceeded };
      case 'absent':
        return after.over === null ? null : { kind: 'absent', exceeded };
      case 'unreachable':
        return after.over === null ? null : place;
      default:
        return place satisfies never;
    }
  }

  async function start(): Promise<void> {
    if (held.job.status === 'QUEUED') await held.apply({ type: 'started', at: now() });
  }

  /** Stores what events have shown since the last time. */
  async function report(): Promise<void> {
    if (!observer.seen.started) return;
    await start();
    await held.apply({ type: 'progressed', at: now(), ...observer.progress(held.job) });
    const preview = observer.takePreview();
    if (preview !== null) await previews.keep(preview, held);
  }

  async function stop(): Promise<FollowResult | null> {
    try {
      await stopPrompt(engine.client, promptId, engine.status().targetedInterrupt);
    } catch (error) {
      if (!(error instanceof EngineUnreachable)) throw error;
      log.debug({ engine: engine.id, err: error }, 'the stop request did not reach the engine');
    }
    state = stopped(state, now());
    return look();
  }

  /** Returns true when this process ends. Throws RunOver when the job was deleted. */
  function take(signal: RunSignal): boolean {
    switch (signal.kind) {
      case 'event':
        observer.take(signal.event);
        return false;
      case 'socket-closed':
        socket = null;
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
      const step = decide(state, observer.seen, now(), limits);
      let result: FollowResult | null = null;
      switch (step.do) {
        case 'wait':
          await inbox.wait(step.until - now());
          break;
        case 'look':
          result = await look();
          break;
        case 'openSocket':
          await openSocket();
          break;
        case 'closeSocket':
          await closeSocket();
          break;
        case 'stop':
          result = await stop();
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
    await socket?.close();
  }
}

/** Opens the socket on which the engine sends a prompt's events; they and its end go to the inbox. */
export function openRunSocket(
  engine: Engine,
  promptId: string,
  inbox: Inbox<RunSignal>,
): Promise<EngineSocket> {
  return openEngineSocket({
    ...engine.client.socketUrl(promptId),
    answersFlags: engine.status().previewMetadata,
    onEvent: event => inbox.push({ kind: 'event', event }),
    onClose: () => inbox.push({ kind: 'socket-closed' }),
  });
}

/** A queue with one reader, which waits for the next item with a deadline. */
export interface Inbox<T> {
  push(item: T): void;
  /** Removes and returns all items. */
  drain(): T[];
  /** Resolves when there is an item, at the latest after `ms`. */
  wait(ms: number): Promise<void>;
}

/** Makes an empty inbox; it holds a timer only during `wait`. */
export function createInbox<T>(): Inbox<T> {
  let items: T[] = [];
  let wake: (() => void) | null = null;
  return {
    push(item) {
      items.push(item);
      wake?.();
    },
    drain() {
      const drained = items;
      items = [];
      return drained;
    },
    async wait(ms) {
      if (items.length > 0) return;
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, Math.max(0, ms));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      wake = null;
    },
  };
}
