/** The calls in flight of clients that cancel by `notifications/cancelled`, which is a request of its own. */
export interface Calls {
  /** Returns a function that removes the call. */
  add(scope: string, id: string | number | null, call: AbortController): () => void;
  /** Aborts the call; has no effect if it is not in flight here. */
  cancel(scope: string, id: string | number | null): void;
}

/** `scope` is a caller with its session: the ids of two clients may be the same. */
export function createCalls(): Calls {
  const inFlight = new Map<string, AbortController>();
  const keyOf = (scope: string, id: string | number | null): string => `${scope} ${JSON.stringify(id)}`;

  return {
    add(scope, id, call) {
      const key = keyOf(scope, id);
      inFlight.set(key, call);
      return () => {
        if (inFlight.get(key) === call) inFlight.delete(key);
      };
    },
    cancel(scope, id) {
      inFlight.get(keyOf(scope, id))?.abort();
    },
  };
}
