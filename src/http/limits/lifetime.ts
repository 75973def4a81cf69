import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/** The longest delay that setTimeout accepts, about 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Responses that stay open: event streams and waiting polls. Their clients reconnect when they end. */
export interface Streams {
  /**
   * Ends a response after the longest lifetime, at `expiresAt` (milliseconds since 1970, null: never), when its caller's
   * token expires, or when the server stops.
   */
  add(response: ServerResponse, expiresAt: number | null): void;
  /** Ends all of them, and any that are added later. */
  stop(): void;
}

/** `lifetimeMs`: how long a response may stay open. */
export function createStreams(lifetimeMs: number): Streams {
  const open = new Set<ServerResponse>();
  let stopped = false;
  return {
    add(response, expiresAt) {
      if (stopped) {
        response.destroy();
        return;
      }
      open.add(response);
      const left = expiresAt === null ? lifetimeMs : Math.min(lifetimeMs, expiresAt - Date.now());
      const timer = setTimeout(() => response.destroy(), Math.max(0, Math.min(left, MAX_TIMER_MS)));
      response.once('close', () => {
        clearTimeout(timer);
        open.delete(response);
      });
    },
    stop() {
      stopped = true;
      for (const response of open) response.destroy();
    },
  };
}

/** Aborts when the client closes the connection before the response is sent completely. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}
