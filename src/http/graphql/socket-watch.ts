import type { Duplex } from 'node:stream';
import { CloseCode } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { Log } from '../../log.ts';
import type { Counted, Held, HeldBytes } from '../limits/held-bytes.ts';

/** Close codes of our own; graphql-ws clients connect again after each of them. */
export const SOCKET_CLOSED = {
  lifetime: { code: 4410, reason: 'Open for as long as a socket may be: connect again' },
  idle: { code: 4411, reason: 'Nothing was asked for too long' },
  slow: { code: 4413, reason: 'Does not read what it asked for' },
} as const;

/** RFC 6455 leaves 4000 to 4999 to us; graphql-ws' PROTOCOL.md uses this one for who never says `connection_init`. */
const NO_GREETING = {
  code: CloseCode.ConnectionInitialisationTimeout,
  reason: 'Connection initialisation timeout',
} as const;
/** The same page has this one for who is not, or no longer, known. */
const UNAUTHORIZED = { code: 4401, reason: 'Unauthorized' } as const;

export interface SocketLimits {
  /** From the handshake to `connection_init`. */
  readonly initMs: number;
  readonly lifetimeMs: number;
  /** Without any operation. */
  readonly idleMs: number;
  /** With something sent that is not taken. */
  readonly slowMs: number;
  /** What may wait to be taken, in bytes, on top of one message. */
  readonly bufferBytes: number;
}

/** Closes sockets that stay too long, ask for nothing, do not read, or send and do not finish. */
export interface SocketWatch {
  /** Begins with one on `transport`, of which is known only whose address it comes from. */
  add(socket: WebSocket, transport: Duplex, key: string): void;
  /** It is known whose it is. `operations` says how many are under way. */
  admit(socket: WebSocket, key: string, operations: () => number): void;
  /** From when on the socket's caller is no longer known, in milliseconds since 1970. */
  expire(socket: WebSocket, at: number): void;
  /** A whole message came. True: the socket has too much waiting to be taken and was closed. */
  received(socket: WebSocket): boolean;
  /** Closes at once what has too much waiting. True: it was closed. */
  overfull(socket: WebSocket): boolean;
  stop(): void;
}

interface Watched extends Held {
  readonly socket: WebSocket;
  readonly source: Transport;
  operations: () => number;
  readonly since: number;
  busyAt: number;
  /** Since when what waits to be taken has not become less; null: nothing waits. */
  waitingSince: number | null;
  waiting: number;
  expiresAt: number | null;
}

type Transport = Duplex & Counted;

/** What somebody of whom we do not know who it is may send: `connection_init` with a token in it is some kilobytes. */
const STRANGER_BYTES = 64 * 1024;

const NONE = (): number => 0;

/** One timer for all sockets. */
export function watchSockets(limits: SocketLimits, heldBytes: HeldBytes, log: Log): SocketWatch {
  const watched = new Map<WebSocket, Watched>();
  const strangers = new WeakMap<Transport, WebSocket>();
  const shortest = Math.min(limits.initMs, limits.lifetimeMs, limits.idleMs, limits.slowMs);
  const timer = setInterval(check, Math.min(5_000, Math.max(20, shortest / 4)));
  timer.unref();

  function close(socket: WebSocket, { code, reason }: { code: number; reason: string }): void {
    forget.call(socket);
    log.debug({ code, reason, waiting: socket.bufferedAmount }, 'closing a socket');
    socket.close(code, reason);
  }

  function check(): void {
    const at = Date.now();
    for (const [socket, state] of watched) {
      if (state.operations() > 0) state.busyAt = at;
      const waiting = socket.bufferedAmount;
      if (waiting === 0) state.waitingSince = null;
      else if (state.waitingSince === null || waiting < state.waiting) state.waitingSince = at;
      state.waiting = waiting;
      if (state.expiresAt !== null && at >= state.expiresAt) close(socket, UNAUTHORIZED);
      else if (state.operations === NONE && at - state.since >= limits.initMs) close(socket, NO_GREETING);
      else if (at - state.since >= limits.lifetimeMs) close(socket, SOCKET_CLOSED.lifetime);
      else if (state.waitingSince !== null && at - state.waitingSince >= limits.slowMs) {
        close(socket, SOCKET_CLOSED.slow);
      } else if (at - state.busyAt >= limits.idleMs) close(socket, SOCKET_CLOSED.idle);
    }
  }

  // One of each for all sockets: a closure for each would be held for each.
  function forget(this: WebSocket): void {
    const state = watched.get(this);
    if (state !== undefined) heldBytes.remove(state);
    watched.delete(this);
  }

  function limitStranger(this: Transport): void {
    if ((this.bytesRead ?? 0) > STRANGER_BYTES) strangers.get(this)?.terminate();
  }

  function overfull(socket: WebSocket): boolean {
    if (socket.bufferedAmount <= limits.bufferBytes) return false;
    if (watched.has(socket)) close(socket, SOCKET_CLOSED.slow);
    return true;
  }

  return {
    add(socket, transport: Transport, key) {
      const at = Date.now();
      const state: Watched = {
        key,
        socket,
        source: transport,
        from: transport.bytesRead ?? 0,
        end: terminate,
        operations: NONE,
        since: at,
        busyAt: at,
        waitingSince: null,
        waiting: 0,
        expiresAt: null,
      };
      watched.set(socket, state);
      heldBytes.add(state);
      socket.on('close', forget);
      strangers.set(transport, socket);
      transport.on('data', limitStranger);
    },
    admit(socket, key, operations) {
      const state = watched.get(socket);
      if (state === undefined) return;
      state.key = key;
      state.operations = operations;
      state.source.off('data', limitStranger);
      strangers.delete(state.source);
    },
    expire(socket, at) {
      const state = watched.get(socket);
      if (state !== undefined) state.expiresAt = at;
    },
    received(socket) {
      const state = watched.get(socket);
      if (state !== undefined) state.from = state.source.bytesRead ?? 0;
      return overfull(socket);
    },
    overfull,
    stop() {
      clearInterval(timer);
      for (const socket of [...watched.keys()]) forget.call(socket);
    },
  };
}

/** What a socket holds is a message that is not whole: of one that is, nothing is counted. */
function terminate(this: Watched): boolean {
  this.socket.terminate();
  return true;
}
