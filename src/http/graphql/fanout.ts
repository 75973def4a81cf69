import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { createSharedSubscriptions, type Subscribed } from '../../graphql/shared/groups.ts';
import { createMailbox, type Stream } from '../../jobs/mailbox.ts';
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
  const shared = createSharedSubscriptions<Buffer, Writer>({
    // The brace ends the message around the result.
    itemOf: result => Buffer.from(`${JSON.stringify(result)}}`),
    offer,
    end: conclude,
  });
  return {
    async join(key, member, open) {
      try {
        const subscribed = await shared.join(key, open, leaveGroup => createWriter(member, leaveGroup));
        if (!(Symbol.asyncIterator in subscribed)) member.leave();
        return subscribed;
      } catch (error) {
        member.leave();
        throw error;
      }
    },
  };
}

/** Who writes to one socket for one operation. */
interface Writer {
  readonly member: FanoutMember;
  /** The begin of each message. */
  readonly head: string;
  /** The newest result that the socket had no room for. */
  waiting: Buffer | null;
  /** Nothing newer comes. */
  concluded: boolean;
  readonly stream: Stream<never>;
}

function createWriter(member: FanoutMember, leaveGroup: () => void): Writer {
  const box = createMailbox<never>(() => {
    writer.waiting = null;
    leaveGroup();
    member.leave();
  });
  const writer: Writer = {
    member,
    head: `{"id":${JSON.stringify(member.id)},"type":"next","payload":`,
    waiting: null,
    concluded: false,
    stream: box.stream,
  };
  return writer;
}

/**
 * Sends while the socket takes all at once. When it does not, the newest result waits until what is before it was taken,
 * and whoever reads slowly misses the rest: at most one waits here and one in the socket.
 */
function offer(writer: Writer, rest: Buffer): void {
  const { transport } = writer.member;
  if (!isOpen(writer)) return;
  if (writer.waiting !== null) writer.waiting = rest;
  else if (transport.writableLength === 0) send(writer, rest);
  else {
    writer.waiting = rest;
    transport.write(NOTHING, () => taken(writer));
  }
}

function conclude(writer: Writer): void {
  writer.concluded = true;
  if (writer.waiting === null) leave(writer);
}

/** Called when all that was before was taken, or the socket is gone: its close ends the operation. */
function taken(writer: Writer): void {
  if (writer.waiting !== null && isOpen(writer)) send(writer, writer.waiting);
  writer.waiting = null;
  if (writer.concluded) leave(writer);
}

/** The stream ends, and with it the operation. */
function leave({ stream }: Writer): void {
  // It settles at once and never fails.
  void stream.return();
}

/** After its closing frame a socket says nothing more (RFC 6455, 5.5.1). */
function isOpen({ member: { socket } }: Writer): boolean {
  return socket.readyState === socket.OPEN;
}

function send({ member: { transport }, head }: Writer, rest: Buffer): void {
  transport.cork();
  transport.write(beginTextFrame(head, rest.length));
  transport.write(rest);
  transport.uncork();
}
