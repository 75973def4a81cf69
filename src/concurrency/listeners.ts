/** Functions to call when something happened. */
export interface Listeners<Args extends readonly unknown[] = []> {
  /** Returns a function that removes the listener. Adding the same function twice counts as two listeners. */
  add(listener: (...args: Args) => void): () => void;
  call(...args: Args): void;
  clear(): void;
}

/** Starts with no listeners. */
export function createListeners<Args extends readonly unknown[] = []>(): Listeners<Args> {
  const listeners = new Set<(...args: Args) => void>();
  return {
    add(listener) {
      const own = (...args: Args): void => listener(...args);
      listeners.add(own);
      return () => listeners.delete(own);
    },
    call(...args) {
      for (const listener of [...listeners]) listener(...args);
    },
    clear() {
      listeners.clear();
    },
  };
}
