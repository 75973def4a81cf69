import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/** The longest delay that setTimeout accepts, about 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** How long a response whose time is over may take to end. */
const FAREWELL_MS = 1_000;

/** Responses that stay open: event streams and waiting polls. Their clients reconnect when they end. */
export interface Streams {
  /**
   * Ends a response after the longest lifetime, at `expiresAt` (milliseconds since 1970, null: never), when its caller's
   * token expires, or when the server stops: aborts its signal, and closes the connection if it has not ended a second
   * later.
   */
  add(response: ServerResponse, expiresAt: number | null): void;
  /** Aborts when the response has to end. Never, for one that was not added. */
  endingOf(response: ServerResponse): AbortSignal;
  /** Ends all of them, and any that are added later. Resolves when all are sent or closed. */
  stop(): Promise<void>;
}

/** `lifetimeMs`: how long a response may stay open. */
export function createStreams(lifetimeMs: number): Streams {
  const open = new Map<ServerResponse, AbortController>();
  const never = new AbortController().signal;
  let stopped = false;

  function end(response: ServerResponse, ending: AbortController): void {
    if (ending.signal.aborted) return;
    ending.abort();
    const deadline = setTimeout(() => response.destroy(), FAREWELL_MS);
    response.once('close', () => clearTimeout(deadline));
  }

  return {
    add(response, expiresAt) {
      const ending = new AbortController();
      open.set(response, ending);
      const left = expiresAt === null ? lifetimeMs : Math.min(lifetimeMs, expiresAt - Date.now());
      const timer = setTimeout(() => end(response, ending), Math.max(0, Math.min(left, MAX_TIMER_MS)));
      response.once('close', () => {
        clearTimeout(timer);
        open.delete(response);
      });
      if (stopped) end(response, ending);
    },
    endingOf: response => open.get(response)?.signal ?? never,
    async stop() {
      stopped = true;
      const closed = [...open.keys()].map(response => once(response, 'close'));
      for (const [response, ending] of open) end(response, ending);
      await Promise.all(closed);
    },
  };
}

/** Aborts when the client closes the connection before the response is sent completely. */
export function goneSignal({ raw }: Pick<FastifyReply, 'raw'>): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}

/** Resolves when the response is closed: whether it was sent completely. */
export async function answeredOf({ raw }: FastifyReply): Promise<boolean> {
  if (!raw.closed) await new Promise<void>(resolve => raw.once('close', () => resolve()));
  return raw.writableFinished;
}
