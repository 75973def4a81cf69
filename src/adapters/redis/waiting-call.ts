/** Calls those who wait for work. Many calls within a moment become one. */
export interface WaitingCall {
  listen(listener: () => void): () => void;
  ring(): void;
  close(): void;
}

/** A burst of submits makes one call, not one for each. Milliseconds. */
const MOMENT_MS = 5;

/** Makes a call that nobody listens to yet. */
export function createWaitingCall(): WaitingCall {
  const listeners = new Set<() => void>();
  let pending: NodeJS.Timeout | null = null;
  return {
    listen(listener) {
      // Told apart also when the same function listens twice.
      const own = (): void => listener();
      listeners.add(own);
      return () => listeners.delete(own);
    },
    ring() {
      pending ??= setTimeout(() => {
        pending = null;
        for (const listener of [...listeners]) listener();
      }, MOMENT_MS);
    },
    close() {
      listeners.clear();
      if (pending !== null) clearTimeout(pending);
      pending = null;
    },
  };
}
