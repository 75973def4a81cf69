import type { Duplex } from 'node:stream';
import { CloseCode } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { Log } from '../../log.ts';
import type { Counted, Held, HeldBytes } from '../limits/held-bytes.ts';

/** Close codes of our own; graphql-ws clients reconnect after each of them. */
export const SOCKET_CLOSED = {
  lifetime: { code: 4410, reason: 'Maximum lifetime reached: connect again' },
  idle: { code: 4411, reason: 'Idle for too long' },
  slow: { code: 4413, reason: 'Reads too slowly' },
} as const;

/** From graphql-ws' PROTOCOL.md, whose codes are in the range that RFC 6455 leaves to applications. */
const NO_INIT = {
  code: CloseCode.ConnectionInitialisationTimeout,
  reason: 'Connection initialisation timeout',
} as const;
/** From PROTOCOL.md too: the credentials are unknown or have expired. */
const UNAUTHORIZED = { code: 4401, reason: 'Unauthorized' } as const;

/** Times in milliseconds. */
export interface SocketLimits {
  /** From the handshake to `connection_init`. */
  readonly initMs: number;
  readonly lifetimeMs: number;
  /** Without an operation in flight. */
  readonly idleMs: number;
  /** With bytes in the send buffer that do not get fewer. */
  readonly slowMs: number;
  /** Bytes in the send buffer above which a socket is closed at once, on top of one message. */
  readonly bufferBytes: number;
}

/** Closes sockets that stay too long, are idle, do not read, or send and do not finish. */
export interface SocketGuard {
  /** Starts with a socket on `transport` before `connection_init`; `key` counts its bytes, by its address so far. */
  add(socket: WebSocket, transport: Duplex, key: string): void;
  /** The caller was identified. `operations` has a property for each that is in flight. */
  admit(socket: WebSocket, key: string, operations: Readonly<Record<string, unknown>>): void;
  /** Closes the socket at a time in milliseconds since 1970, when its caller's credentials expire. */
  expire(socket: WebSocket, at: number): void;
  /** A whole message arrived. Returns true when the socket was closed because it does not read. */
  received(socket: WebSocket): boolean;
  /** Closes a socket whose send buffer is too full. Returns true when it is closed. */
  overfull(socket: WebSocket): boolean;
  stop(): void;
}

interface Guarded extends Held {
  readonly socket: WebSocket;
  readonly source: Transport;
  /** Null before the caller is identified. */
  operations: Readonly<Record<string, unknown>> | null;
  readonly since: number;
  busyAt: number;
  /** Since when the send buffer has not become smaller; null while it is empty. */
  waitingSince: number | null;
  waiting: number;
  expiresAt: number | null;
}

type Transport = Duplex & Counted;

/** What a socket may send before its caller is identified: `connection_init` with a token is some kilobytes. */
const BYTES_BEFORE_INIT = 64 * 1024;

/** Starts one timer for all sockets. */
export function guardSockets(limits: SocketLimits, heldBytes: HeldBytes, log: Log): SocketGuard {
  const guarded = new Map<WebSocket, Guarded>();
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
    for (const [socket, state] of guarded) {
      if (Object.keys(state.operations ?? {}).length > 0) state.busyAt = at;
      const waiting = socket.bufferedAmount;
      if (waiting === 0) state.waitingSince = null;
      else if (state.waitingSince === null || waiting < state.waiting) state.waitingSince = at;
      state.waiting = waiting;
      if (state.expiresAt !== null && at >= state.expiresAt) close(socket, UNAUTHORIZED);
      else if (state.operations === null && at - state.since >= limits.initMs) close(socket, NO_INIT);
      else if (at - state.since >= limits.lifetimeMs) close(socket, SOCKET_CLOSED.lifetime);
      else if (state.waitingSince !== null && at - state.waitingSince >= limits.slowMs) {
        close(socket, SOCKET_CLOSED.slow);
      } else if (at - state.busyAt >= limits.idleMs) close(socket, SOCKET_CLOSED.idle);
    }
  }

  // Shared by all sockets, which they get as `this`: a closure for each would be held for each.
  function forget(this: WebSocket): void {
    const state = guarded.get(this);
    if (state !== undefined) heldBytes.remove(state);
    guarded.delete(this);
  }

  function limitStranger(this: Transport): void {
    if ((this.bytesRead ?? 0) > BYTES_BEFORE_INIT) strangers.get(this)?.terminate();
  }

  function overfull(socket: WebSocket): boolean {
    if (socket.bufferedAmount <= limits.bufferBytes) return false;
    if (guarded.has(socket)) close(socket, SOCKET_CLOSED.slow);
    return true;
  }

  return {
    add(socket, transport: Transport, key) {
      const at = Date.now();
      const state: Guarded = {
        key,
        socket,
        source: transport,
        from: transport.bytesRead ?? 0,
        end: terminate,
        operations: null,
        since: at,
        busyAt: at,
        waitingSince: null,
        waiting: 0,
        expiresAt: null,
      };
      guarded.set(socket, state);
      heldBytes.add(state);
      socket.on('close', forget);
      strangers.set(transport, socket);
      transport.on('data', limitStranger);
    },
    admit(socket, key, operations) {
      const state = guarded.get(socket);
      if (state === undefined) return;
      state.key = key;
      state.operations = operations;
      state.source.off('data', limitStranger);
      strangers.delete(state.source);
    },
    expire(socket, at) {
      const state = guarded.get(socket);
      if (state !== undefined) state.expiresAt = at;
    },
    received(socket) {
      const state = guarded.get(socket);
      if (state !== undefined) state.from = state.source.bytesRead ?? 0;
      return overfull(socket);
    },
    overfull,
    stop() {
      clearInterval(timer);
      for (const socket of [...guarded.keys()]) forget.call(socket);
    },
  };
}

/** A socket holds memory for a message that is still arriving; whole messages are not counted. */
function terminate(this: Guarded): boolean {
  this.socket.terminate();
  return true;
}

/** Finds sockets whose client is gone without a close. */
export interface Heartbeat {
  /** Pings the socket until it closes, and terminates it when a ping is unanswered at the time of the next. */
  add(socket: WebSocket): void;
  stop(): void;
}

/** Groups that are pinged one after another, so that no moment has to ping all sockets. */
const GROUPS = 12;

/** Starts one timer for all sockets; each is pinged every `everyMs`. */
export function startHeartbeat(everyMs: number): Heartbeat {
  const groups = Array.from({ length: GROUPS }, () => new Set<WebSocket>());
  const unanswered = new WeakSet<WebSocket>();
  let entering = 0;
  let present = 0;

  const timer = setInterval(() => {
    present = (present + 1) % GROUPS;
    const sockets = groups[present] ?? [];
    for (const socket of sockets) {
      if (socket.readyState !== socket.OPEN) continue;
      if (unanswered.has(socket)) socket.terminate();
      else {
        unanswered.add(socket);
        socket.ping();
      }
    }
  }, everyMs / GROUPS);
  timer.unref();

  // Shared by all sockets, as above.
  function answered(this: WebSocket): void {
    unanswered.delete(this);
  }

  function leave(this: WebSocket): void {
    for (const group of groups) group.delete(this);
  }

  return {
    add(socket) {
      entering = (entering + 1) % GROUPS;
      groups[entering]?.add(socket);
      socket.on('pong', answered);
      socket.on('close', leave);
    },
    stop() {
      clearInterval(timer);
      for (const group of groups) group.clear();
    },
  };
}
