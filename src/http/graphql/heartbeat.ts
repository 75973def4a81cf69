import type { WebSocket } from 'ws';

/** Finds out which sockets have nobody at their other end any more. */
export interface Heartbeat {
  /** Pings the socket every so often until it is closed, and ends it when a ping was not answered by the next. */
  add(socket: WebSocket): void;
  stop(): void;
}

/** Sockets are pinged in turns, one turn after another, so that no moment is for all of them. */
const TURNS = 12;

/** One timer for all sockets. `everyMs`: from one ping of a socket to the next. */
export function startHeartbeat(everyMs: number): Heartbeat {
  const turns = Array.from({ length: TURNS }, () => new Set<WebSocket>());
  const unanswered = new WeakSet<WebSocket>();
  let entering = 0;
  let present = 0;

  const timer = setInterval(() => {
    present = (present + 1) % TURNS;
    const sockets = turns[present] ?? [];
    for (const socket of sockets) {
      if (socket.readyState !== socket.OPEN) continue;
      if (unanswered.has(socket)) socket.terminate();
      else {
        unanswered.add(socket);
        socket.ping();
      }
    }
  }, everyMs / TURNS);
  timer.unref();

  // Listeners that all sockets share are told by `this` which it is: a closure for each would be held for each.
  function answered(this: WebSocket): void {
    unanswered.delete(this);
  }

  function leave(this: WebSocket): void {
    for (const turn of turns) turn.delete(this);
  }

  return {
    add(socket) {
      entering = (entering + 1) % TURNS;
      turns[entering]?.add(socket);
      socket.on('pong', answered);
      socket.on('close', leave);
    },
    stop() {
      clearInterval(timer);
      for (const turn of turns) turn.clear();
    },
  };
}
