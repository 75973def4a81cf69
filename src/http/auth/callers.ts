import type { IncomingMessage } from 'node:http';
import type { Caller } from '../../jobs/service.ts';

/** Whom a request was found to come from. */
export interface Known {
  readonly caller: Caller;
  /** Milliseconds since 1970; null: no end. */
  readonly expiresAt: number | null;
}

/** Keeps who asks, for as long as the request is there. */
export interface Callers {
  remember(request: IncomingMessage, known: Known): void;
  /** Throws when the request was let in without having been asked: a hole in the routing, never a caller's fault. */
  of(request: IncomingMessage): Known;
}

/** Makes an empty memory. */
export function createCallers(): Callers {
  const known = new WeakMap<IncomingMessage, Known>();
  return {
    remember(request, of) {
      known.set(request, of);
    },
    of(request) {
      const found = known.get(request);
      if (found === undefined) throw new Error('A request reached a route before its caller was known');
      return found;
    },
  };
}
