/** Holds one value at most: the newest that was offered and not taken yet. For one reader. */
export interface Latest<T> {
  offer(value: T): void;
  /** What is held is still given, then the end, or the error. Later calls change nothing. */
  end(error?: Error): void;
  /** The newest value; null at the end. Rejects with the error it ended with. */
  take(): Promise<T | null>;
}

/** Makes an empty one. A slow reader misses values, and memory does not grow. */
export function createLatest<T extends object>(): Latest<T> {
  let held: T | null = null;
  let ended = false;
  let failure: Error | null = null;
  let wake: (() => void) | null = null;

  function stir(): void {
    wake?.();
    wake = null;
  }

  return {
    offer(value) {
      if (ended) return;
      held = value;
      stir();
    },
    end(error) {
      if (ended) return;
      ended = true;
      failure = error ?? null;
      stir();
    },
    async take() {
      while (held === null && !ended) {
        await new Promise<void>(resolve => {
          wake = resolve;
        });
      }
      const value = held;
      held = null;
      if (value === null && failure !== null) throw failure;
      return value;
    },
  };
}
