import { CloseCode } from 'graphql-ws';
import type { Log } from '../../log.ts';
import type { HeldBytes } from '../limits/held-bytes.ts';
import type { Session, Transport } from './socket-session.ts';

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
  /** Milliseconds since it started. */
  now(): number;
  /** Starts with a socket before its caller is identified. */
  add(session: Session): void;
  /** The caller was identified. */
  admit(session: Session): void;
  /** The socket is closed. */
  remove(session: Session): void;
  /** A whole message arrived. Returns true when the socket was closed because it does not read. */
  received(session: Session): boolean;
  /** Closes a socket whose send buffer is too full. Returns true when it is closed. */
  overfull(session: Session): boolean;
  stop(): void;
}

/** What a socket may send before its caller is identified: `connection_init` with a token is some kilobytes. */
const BYTES_BEFORE_INIT = 64 * 1024;

/** Starts one timer for all sockets; `sessions` are those that are open. */
export function guardSockets(
  sessions: () => Iterable<Session>,
  limits: SocketLimits,
  heldBytes: HeldBytes,
  log: Log,
): SocketGuard {
  const strangers = new WeakMap<Transport, Session>();
  const shortest = Math.min(limits.initMs, limits.lifetimeMs, limits.idleMs, limits.slowMs);
  const startedAt = performance.now();
  const timer = setInterval(check, Math.min(5_000, Math.max(20, shortest / 4)));
  timer.unref();

  const now = (): number => Math.floor(performance.now() - startedAt);

  function close({ socket }: Session, { code, reason }: { code: number; reason: string }): void {
    // A socket that is closing is closed for good by `ws`.
    if (socket.readyState !== socket.OPEN) return;
    log.debug({ code, reason, waiting: socket.bufferedAmount }, 'closing a socket');
    socket.close(code, reason);
  }

  function check(): void {
    const at = now();
    const time = Date.now();
    for (const session of sessions()) {
      if (session.operations > 0) session.busyAt = at;
      const waiting = session.socket.bufferedAmount;
      if (waiting === 0) session.waitingSince = null;
      else if (session.waitingSince === null || waiting < session.waiting) session.waitingSince = at;
      session.waiting = waiting;
      if (session.expiresAt !== null && time >= session.expiresAt) close(session, UNAUTHORIZED);
      else if (session.client === null && at - session.since >= limits.initMs) close(session, NO_INIT);
      else if (at - session.since >= limits.lifetimeMs) close(session, SOCKET_CLOSED.lifetime);
      else if (session.waitingSince !== null && at - session.waitingSince >= limits.slowMs) {
        close(session, SOCKET_CLOSED.slow);
      } else if (at - session.busyAt >= limits.idleMs) close(session, SOCKET_CLOSED.idle);
    }
  }

  // Shared by all sockets: a closure for each would be held for each.
  function limitStranger(this: Transport): void {
    if ((this.bytesRead ?? 0) > BYTES_BEFORE_INIT) strangers.get(this)?.socket.terminate();
  }

  function overfull(session: Session): boolean {
    if (session.socket.bufferedAmount <= limits.bufferBytes) return false;
    close(session, SOCKET_CLOSED.slow);
    return true;
  }

  return {
    now,
    add(session) {
      heldBytes.add(session);
      strangers.set(session.source, session);
      session.source.on('data', limitStranger);
    },
    admit(session) {
      session.source.off('data', limitStranger);
      strangers.delete(session.source);
    },
    remove: session => heldBytes.remove(session),
    received(session) {
      session.from = session.source.bytesRead ?? 0;
      return overfull(session);
    },
    overfull,
    stop() {
      clearInterval(timer);
      for (const session of sessions()) heldBytes.remove(session);
    },
  };
}

/** Groups that are pinged one after another, so that no moment has to ping all sockets. */
export const HEARTBEAT_GROUPS = 12;

/**
 * Pings each open socket every `everyMs`, and terminates it when a ping is unanswered at the time of the next: its client is
 * gone without a close. One timer for all; returns a function that stops it.
 */
export function startHeartbeat(
  sessions: () => Iterable<Pick<Session, 'socket' | 'group' | 'unanswered'>>,
  everyMs: number,
): () => void {
  let present = 0;
  const timer = setInterval(() => {
    present = (present + 1) % HEARTBEAT_GROUPS;
    for (const session of sessions()) {
      const { socket, group, unanswered } = session;
      if (group !== present || socket.readyState !== socket.OPEN) continue;
      if (unanswered) socket.terminate();
      else {
        session.unanswered = true;
        socket.ping();
      }
    }
  }, everyMs / HEARTBEAT_GROUPS);
  timer.unref();
  return () => clearInterval(timer);
}
