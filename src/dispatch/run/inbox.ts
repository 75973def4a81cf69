import type { EngineEvent } from '../../comfyui/events.ts';
import type { EngineSocket } from '../../comfyui/socket.ts';
import type { Engine } from '../engines/engine.ts';

/** What wakes a run. */
export type RunSignal =
  | { kind: 'event'; event: EngineEvent }
  | { kind: 'socket-closed' }
  | { kind: 'socket-opened'; socket: EngineSocket }
  | { kind: 'socket-failed' }
  /** A cancel was requested; `wantsCancel` says so too. */
  | { kind: 'cancel' }
  /** The job was deleted. */
  | { kind: 'gone' }
  /** This process ends. */
  | { kind: 'leave' };

/**
 * Opens the socket on which the engine sends a run's events; they and its end go to the inbox. Its abort ends the opening.
 */
export function openRunSocket(
  engine: Engine,
  clientId: string,
  inbox: Inbox<RunSignal>,
  signal: AbortSignal,
): Promise<EngineSocket> {
  return engine.openSocket(clientId, {
    onEvent: event => inbox.push({ kind: 'event', event }),
    onClose: () => inbox.push({ kind: 'socket-closed' }),
    signal,
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
