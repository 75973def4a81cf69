import type { WebSocket } from 'ws';
import type { Log } from '../../log.ts';

/** Close codes of our own; graphql-ws clients connect again after each of them. */
export const SOCKET_CLOSED = {
  lifetime: { code: 4410, reason: 'Open for as long as a socket may be: connect again' },
  idle: { code: 4411, reason: 'Nothing was asked for too long' },
  slow: { code: 4413, reason: 'Does not read what it asked for' },
} as const;

/** RFC 6455 leaves 4000 to 4999 to us; graphql-ws' PROTOCOL.md uses this one for who is not, or no longer, known. */
const UNAUTHORIZED = { code: 4401, reason: 'Unauthorized' } as const;

export interface SocketLimits {
  readonly lifetimeMs: number;
  /** Without any operation. */
  readonly idleMs: number;
  /** With something sent that is not taken. */
  readonly slowMs: number;
  /** What may wait to be taken, in bytes, on top of one message. */
  readonly bufferBytes: number;
}

/** Closes sockets that stay too long, ask for nothing or do not read. */
export interface SocketWatch {
  /** `operations` says how many are under way. */
  add(socket: WebSocket, operations: () => number): void;
  /** From when on the socket's caller is no longer known, in milliseconds since 1970. */
  expire(socket: WebSocket, at: number): void;
  /** Closes at once what has too much waiting. True: it was closed. */
  overfull(socket: WebSocket): boolean;
  stop(): void;
}

interface Watched {
  readonly operations: () => number;
  readonly since: number;
  busyAt: number;
  /** Since when what waits to be taken has not become less; null: nothing waits. */
  waitingSince: number | null;
  waiting: number;
  expiresAt: number | null;
}

/** How long a closed socket's other side has to say goodbye. */
const GOODBYE_MS = 2_000;

/** One timer for all sockets. */
export function watchSockets(limits: SocketLimits, log: Log, now: () => number = Date.now): SocketWatch {
  const watched = new Map<WebSocket, Watched>();
  const goodbyes = new Set<NodeJS.Timeout>();
  const shortest = Math.min(limits.lifetimeMs, limits.idleMs, limits.slowMs);
  const timer = setInterval(check, Math.min(5_000, Math.max(20, shortest / 4)));
  timer.unref();

  function close(socket: WebSocket, { code, reason }: { code: number; reason: string }): void {
    watched.delete(socket);
    log.debug({ code, reason, waiting: socket.bufferedAmount }, 'closing a socket');
    socket.close(code, reason);
    // Who does not read does not answer either.
    const goodbye = setTimeout(() => {
      goodbyes.delete(goodbye);
      socket.terminate();
    }, GOODBYE_MS);
    goodbyes.add(goodbye);
    socket.once('close', () => {
      clearTimeout(goodbye);
      goodbyes.delete(goodbye);
    });
  }

  function check(): void {
    const at = now();
    for (const [socket, state] of watched) {
      if (state.operations() > 0) state.busyAt = at;
      const waiting = socket.bufferedAmount;
      if (waiting === 0) state.waitingSince = null;
      else if (state.waitingSince === null || waiting < state.waiting) state.waitingSince = at;
      state.waiting = waiting;
      if (state.expiresAt !== null && at >= state.expiresAt) close(socket, UNAUTHORIZED);
      else if (at - state.since >= limits.lifetimeMs) close(socket, SOCKET_CLOSED.lifetime);
      else if (state.waitingSince !== null && at - state.waitingSince >= limits.slowMs) {
        close(socket, SOCKET_CLOSED.slow);
      } else if (at - state.busyAt >= limits.idleMs) close(socket, SOCKET_CLOSED.idle);
    }
  }

  // One for all sockets: a closure for each would be held for each.
  function forget(this: WebSocket): void {
    watched.delete(this);
  }

  return {
    add(socket, operations) {
      const at = now();
      watched.set(socket, {
        operations,
        since: at,
        busyAt: at,
        waitingSince: null,
        waiting: 0,
        expiresAt: null,
      });
      socket.on('close', forget);
    },
    expire(socket, at) {
      const state = watched.get(socket);
      if (state !== undefined) state.expiresAt = at;
    },
    overfull(socket) {
      if (socket.bufferedAmount <= limits.bufferBytes) return false;
      if (watched.has(socket)) close(socket, SOCKET_CLOSED.slow);
      return true;
    },
    stop() {
      clearInterval(timer);
      for (const goodbye of goodbyes) clearTimeout(goodbye);
      goodbyes.clear();
      watched.clear();
    },
  };
}
