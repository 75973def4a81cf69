import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/** Longest wait of a timer, about 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Answers that stay open: streams of events, and polls that wait. Whoever reads them connects again. */
export interface Streams {
  /**
   * Ends one when it was open for as long as may be, at `expiresAt` (milliseconds since 1970, null: never), when the
   * token of its caller is over, or when the server stops.
   */
  add(response: ServerResponse, expiresAt: number | null): void;
  /** Ends all at once, and every one that comes yet. */
  stop(): void;
}

/** Starts with none. `lifetimeMs`: how long each may stay open. */
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

/** Aborts when the caller goes before the whole answer is sent: what was answered has nothing left to stop. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}
