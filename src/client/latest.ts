/** Holds one value at most: the newest that was offered and not taken yet. */
export interface Latest<T> {
  offer(value: T): void;
  /** What is held is still given, then the end. Later calls change nothing. */
  end(): void;
  /** The same, and then every `take` rejects with it. */
  fail(error: unknown): void;
  /** The newest value; null at the end. Who asks while there is none is served in turn. */
  take(): Promise<T | null>;
}

/** Makes an empty one. A slow reader misses values, and memory does not grow. */
export function createLatest<T extends object>(): Latest<T> {
  let held: T | null = null;
  let ended = false;
  let failure: { readonly error: unknown } | null = null;
  let waiting: (() => void)[] = [];

  function stir(): void {
    const woken = waiting;
    waiting = [];
    for (const wake of woken) wake();
  }

  function end(): void {
    ended = true;
    stir();
  }

  return {
    offer(value) {
      if (ended) return;
      held = value;
      stir();
    },
    end,
    fail(error) {
      if (ended) return;
      failure = { error };
      end();
    },
    async take() {
      while (held === null && !ended) {
        await new Promise<void>(resolve => {
          waiting.push(resolve);
        });
      }
      const value = held;
      held = null;
      if (value === null && failure !== null) throw failure.error;
      return value;
    },
  };
}
