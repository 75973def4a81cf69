import type { RawData } from 'ws';

/** One message of a socket, as `ws` has it. */
export interface Frame {
  readonly data: RawData;
  readonly isBinary: boolean;
}

/** Frames on their way to the function that reads them, in their order. */
export interface Frames {
  take(frame: Frame): void;
  /** Reads those at once that wait for the next turn. */
  flush(): void;
}

/**
 * The first frame of a turn of the event loop is read at once, the others of that turn in the next one: what the first causes, in
 * promises too, comes before the work for those that came with it. `read` must not throw.
 */
export function readInTurns(read: (frame: Frame) => void): Frames {
  let waiting: Frame[] = [];
  let hasRead = false;

  function flush(): void {
    const frames = waiting;
    waiting = [];
    for (const frame of frames) read(frame);
  }

  function nextTurn(): void {
    hasRead = false;
    flush();
  }

  return {
    take(frame) {
      if (hasRead) {
        waiting.push(frame);
        return;
      }
      hasRead = true;
      setImmediate(nextTurn);
      read(frame);
    },
    flush,
  };
}
