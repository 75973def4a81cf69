import type { ExecutionResult } from 'graphql';
import type { WebSocket } from 'ws';
import type { Subscribed } from '../../graphql/shared/groups.ts';
import { createMailbox } from '../../jobs/mailbox.ts';

/** One operation of one socket that watches. */
export interface FanoutMember {
  readonly socket: WebSocket;
  /** The id that the client gave the operation. */
  readonly id: string;
  /** Called once, when the member leaves or the subscription ends. */
  leave(): void;
}

/**
 * Writes the results of a subscription that many sockets watch straight to them: executed once, made into JSON once,
 * and then for each only the frame around it, which carries the operation's id (graphql-ws' PROTOCOL.md, `Next`).
 */
export interface Fanout {
  /**
   * Joins the subscription that `key` stands for; the first to come opens it. Gives a stream without results, which
   * ends when the subscription does (then graphql-ws says `complete`), or the result that says why there is none. The
   * newest result is sent at once to whoever comes later.
   */
  join(key: string, member: FanoutMember, open: () => Promise<Subscribed>): Promise<Subscribed>;
}

interface Sink {
  send(payload: string): void;
  /** Nothing more comes: ends the member's stream when what waits was sent. */
  finish(): void;
}

interface Group {
  readonly opened: Promise<Subscribed>;
  readonly sinks: Set<Sink>;
  newest: string | null;
  close: (() => void) | null;
}

/** Starts with no subscription. */
export function createFanout(): Fanout {
  const groups = new Map<string, Group>();

  function drop(key: string, group: Group): void {
    if (groups.get(key) === group) groups.delete(key);
  }

  async function pump(key: string, group: Group, results: AsyncIterable<ExecutionResult>): Promise<void> {
    const iterator = results[Symbol.asyncIterator]();
    group.close = () => {
      drop(key, group);
      // Nobody is left to hear how it ends.
      iterator.return?.().catch(() => undefined);
    };
    if (group.sinks.size === 0) return group.close();
    try {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        const payload = JSON.stringify(next.value);
        group.newest = payload;
        for (const sink of group.sinks) sink.send(payload);
      }
    } finally {
      drop(key, group);
      for (const sink of [...group.sinks]) sink.finish();
    }
  }

  function enter(group: Group, member: FanoutMember): AsyncIterable<ExecutionResult> {
    const stream = createMailbox<ExecutionResult>(() => {
      group.sinks.delete(sink);
      if (group.sinks.size === 0) group.close?.();
      member.leave();
    });
    const sink = createSink(member, stream.end);
    group.sinks.add(sink);
    if (group.newest !== null) sink.send(group.newest);
    return stream.stream;
  }

  async function join(
    key: string,
    member: FanoutMember,
    open: () => Promise<Subscribed>,
  ): Promise<Subscribed> {
    const present = groups.get(key);
    const group: Group = present ?? { opened: open(), sinks: new Set(), newest: null, close: null };
    if (present === undefined) groups.set(key, group);
    try {
      const subscribed = await group.opened;
      if (!(Symbol.asyncIterator in subscribed)) {
        drop(key, group);
        member.leave();
        return subscribed;
      }
      // It may have ended while we waited: then we open our own.
      if (groups.get(key) !== group) return join(key, member, open);
      const stream = enter(group, member);
      if (present === undefined) {
        pump(key, group, subscribed).catch(() => {
          // A source that breaks ends its watchers, who ask anew; graphql-js makes errors of fields into results.
        });
      }
      return stream;
    } catch (error) {
      drop(key, group);
      member.leave();
      throw error;
    }
  }

  return { join };
}

/** At most one message is on its way to a socket and one, the newest, waits: who reads slowly misses the rest. */
function createSink({ socket, id }: FanoutMember, end: () => void): Sink {
  const head = `{"id":${JSON.stringify(id)},"type":"next","payload":`;
  let onItsWay = false;
  let waiting: string | null = null;
  let finished = false;

  function sent(): void {
    onItsWay = false;
    if (waiting !== null) {
      const payload = waiting;
      waiting = null;
      send(payload);
    } else if (finished) end();
  }

  function send(payload: string): void {
    if (onItsWay) {
      waiting = payload;
      return;
    }
    onItsWay = true;
    // A socket that is gone calls back with an error: its close ends the operation.
    socket.send(`${head}${payload}}`, sent);
  }

  return {
    send,
    finish() {
      finished = true;
      if (!onItsWay) end();
    },
  };
}
