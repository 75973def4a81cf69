import type { Duplex } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import type { WebSocket } from 'ws';
import { createSharedSubscriptions, type Member, type Subscribed } from '../../graphql/shared/groups.ts';
import { beginTextFrame } from './frame.ts';

/** One operation of one socket that watches. */
export interface FanoutMember {
  readonly socket: WebSocket;
  /** What the socket's frames are written to; the socket does not compress. */
  readonly transport: Duplex;
  /** The id that the client gave the operation. */
  readonly id: string;
  /** Called once, when the member leaves, the subscription ends or there is none. */
  leave(): void;
}

/**
 * Writes the results of a subscription that many sockets watch straight to them: executed once, made into bytes once,
 * and then for each only the begin of its frame, which carries the operation's id (graphql-ws' PROTOCOL.md, `Next`).
 */
export interface Fanout {
  /**
   * Joins the subscription that `key` stands for, as `SharedSubscriptions` does. Gives a stream without results, which
   * ends when the subscription does and the last result is on its way (then graphql-ws says `complete`), or the result
   * that says why there is none.
   */
  join(key: string, member: FanoutMember, open: () => Promise<Subscribed>): Promise<Subscribed>;
}

const NOTHING = Buffer.alloc(0);

/** Starts with no subscription. */
export function createFanout(): Fanout {
  // The brace ends the message around the result.
  const shared = createSharedSubscriptions(result => Buffer.from(`${JSON.stringify(result)}}`));
  return {
    async join(key, member, open) {
      try {
        const subscribed = await shared.join(key, open, leaveGroup =>
          writeTo(member, () => {
            leaveGroup();
            member.leave();
          }),
        );
        if (!(Symbol.asyncIterator in subscribed)) member.leave();
        return subscribed;
      } catch (error) {
        member.leave();
        throw error;
      }
    },
  };
}

/**
 * Sends while the socket takes all at once. When it does not, the newest result waits until what is before it was taken,
 * and whoever reads slowly misses the rest: at most one waits here and one in the socket.
 */
function writeTo({ socket, transport, id }: FanoutMember, leave: () => void): Member<Buffer> {
  const head = `{"id":${JSON.stringify(id)},"type":"next","payload":`;
  let waiting: Buffer | null = null;
  let ended = false;
  const { stream, end } = createEmptyStream(() => {
    waiting = null;
    leave();
  });

  /** After its closing frame a socket says nothing more (RFC 6455, 5.5.1). */
  function isOpen(): boolean {
    return socket.readyState === socket.OPEN;
  }

  function send(rest: Buffer): void {
    transport.cork();
    transport.write(beginTextFrame(head, rest.length));
    transport.write(rest);
    transport.uncork();
  }

  /** Called when all that was before was taken, or the socket is gone: its close ends the operation. */
  function taken(): void {
    if (waiting !== null && isOpen()) send(waiting);
    waiting = null;
    if (ended) end();
  }

  return {
    offer(rest) {
      if (!isOpen()) return;
      if (waiting !== null) waiting = rest;
      else if (transport.writableLength === 0) send(rest);
      else {
        waiting = rest;
        transport.write(NOTHING, taken);
      }
    },
    end() {
      ended = true;
      if (waiting === null) end();
    },
    stream,
  };
}

/** A stream of nothing that ends when told to, or when its reader leaves; `onEnd` is called once. */
function createEmptyStream(onEnd: () => void): { stream: AsyncIterable<ExecutionResult>; end(): void } {
  const { promise, resolve } = Promise.withResolvers<IteratorReturnResult<undefined>>();
  let ended = false;
  function end(): void {
    if (ended) return;
    ended = true;
    resolve({ value: undefined, done: true });
    onEnd();
  }
  const iterator: AsyncIterator<ExecutionResult, undefined> = {
    next: () => promise,
    return() {
      end();
      return promise;
    },
  };
  // graphql-ws calls `return` of what it was given.
  return { stream: { ...iterator, [Symbol.asyncIterator]: () => iterator }, end };
}
