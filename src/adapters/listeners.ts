/** Functions to call when something happened. */
export interface Listeners {
  /** Returns a function that removes the listener. Adding the same function twice counts as two listeners. */
  add(listener: () => void): () => void;
  call(): void;
  clear(): void;
}

/** Starts with no listeners. */
export function createListeners(): Listeners {
  const listeners = new Set<() => void>();
  return {
    add(listener) {
      const own = (): void => listener();
      listeners.add(own);
      return () => listeners.delete(own);
    },
    call() {
      for (const listener of [...listeners]) listener();
    },
    clear() {
      listeners.clear();
    },
  };
}
