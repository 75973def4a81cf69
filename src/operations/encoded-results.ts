import type { ExecutionResult } from 'graphql';
import { createMailbox } from '../concurrency/mailbox.ts';
import { payloadOf, type SharedResult } from './live.ts';
import type { Seat } from './seat.ts';
import type { Subscriber } from './subscriptions.ts';

/** A result of a subscription that is encoded already. */
export interface EncodedResult extends ExecutionResult {
  /** JSON, and one brace more: see `payloadOf`. */
  readonly message: Buffer;
  /** The JSON, as Yoga calls for it. */
  readonly stringify: () => string;
}

/** A subscriber that is read as a stream. */
export interface StreamSubscriber extends Subscriber {
  /** Leaves when it ends or is returned. */
  readonly stream: AsyncIterableIterator<ExecutionResult, undefined>;
}

/** Reads a subscription for one reader of its stream, and holds the newest result until it is read. */
export function encodedSubscriber(seat: Seat): StreamSubscriber {
  const mailbox = createMailbox<EncodedResult>(() => seat.leave());
  const { stream } = mailbox;
  /** Whether the reader waits for a result, and otherwise whether one is held for it. */
  let waits = false;
  let holds = false;
  let ready: (() => void) | null = null;
  const read: typeof stream = {
    [Symbol.asyncIterator]: () => read,
    next() {
      const step = stream.next();
      waits = !holds;
      holds = false;
      if (!waits) return step;
      const callback = ready;
      ready = null;
      callback?.();
      return step;
    },
    return: () => stream.return(),
  };
  return {
    stream: read,
    offer(shared: SharedResult) {
      const message = payloadOf(shared);
      const replaced = mailbox.offer({
        message,
        stringify: () => message.toString('utf8', 0, message.length - 1),
      });
      holds = !waits;
      waits = false;
      return replaced;
    },
    whenReady(callback) {
      if (waits) callback();
      else ready = callback;
    },
    end: () => mailbox.end(),
  };
}

/** Whether a result is one that `encodedSubscriber` passed on. */
export function isEncoded(result: ExecutionResult): result is EncodedResult {
  return 'message' in result && Buffer.isBuffer(result.message);
}
