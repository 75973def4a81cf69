import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import { onceClosed } from '../closed.ts';

/** The longest delay that setTimeout accepts, about 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** How long a response whose time is over may take to end. */
const FAREWELL_MS = 1_000;

/** Responses that stay open: event streams and waiting polls. Their clients reconnect when they end. */
export interface Streams {
  /**
   * Ends a response after the longest lifetime, at `expiresAt` (milliseconds since 1970, null: never), when its caller's
   * token expires, or when the server stops: aborts its signal, and closes the connection if it has not ended a second
   * later. Ignores one that is closed.
   */
  add(response: ServerResponse, expiresAt: number | null): void;
  /** Aborts when the response has to end. Never, for one that was not added. */
  endingOf(response: ServerResponse): AbortSignal;
  /** Ends all of them, and any that are added later. Resolves when all are sent or closed. */
  stop(): Promise<void>;
}

interface Open {
  readonly ending: AbortController;
  readonly closed: Promise<void>;
  timer: NodeJS.Timeout;
}

/** `lifetimeMs`: how long a response may stay open. */
export function createStreams(lifetimeMs: number): Streams {
  const streams = new Map<ServerResponse, Open>();
  const never = new AbortController().signal;
  let stopped = false;

  function end(response: ServerResponse, stream: Open): void {
    if (stream.ending.signal.aborted) return;
    clearTimeout(stream.timer);
    stream.timer = setTimeout(() => response.destroy(), FAREWELL_MS);
    stream.ending.abort();
  }

  return {
    add(response, expiresAt) {
      if (response.closed) return;
      const left = expiresAt === null ? lifetimeMs : Math.min(lifetimeMs, expiresAt - Date.now());
      const { promise: closed, resolve } = Promise.withResolvers<void>();
      const stream: Open = {
        ending: new AbortController(),
        closed,
        timer: setTimeout(() => end(response, stream), Math.max(0, Math.min(left, MAX_TIMER_MS))),
      };
      streams.set(response, stream);
      // The one listener of a stream: Fastify and the route have theirs, and Node warns of more than ten.
      response.once('close', () => {
        clearTimeout(stream.timer);
        streams.delete(response);
        resolve();
      });
      if (stopped) end(response, stream);
    },
    endingOf: response => streams.get(response)?.ending.signal ?? never,
    async stop() {
      stopped = true;
      const closed = [...streams.values()].map(stream => stream.closed);
      for (const [response, stream] of streams) end(response, stream);
      await Promise.all(closed);
    },
  };
}

/** Aborts when the client closes the connection before the response is sent completely. */
export function goneSignal({ raw }: Pick<FastifyReply, 'raw'>): AbortSignal {
  const gone = new AbortController();
  onceClosed(raw, () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}

/** Resolves when the response is closed: whether it was sent completely. */
export async function answeredOf({ raw }: FastifyReply): Promise<boolean> {
  await new Promise<void>(resolve => onceClosed(raw, resolve));
  return raw.writableFinished;
}
