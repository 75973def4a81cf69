import type { ExecutionResult } from 'graphql';
import { createMailbox } from '../../concurrency/mailbox.ts';
import type { SharedResult, Subscriber } from '../../operations/subscriptions.ts';

/** A result of a subscription that is encoded already. */
export interface EncodedResult extends ExecutionResult {
  /** As in `SharedResult`: JSON, and one brace more. */
  readonly message: Buffer;
  /** The JSON, which Yoga sends as it is. */
  readonly stringify: () => string;
}

/** Reads a subscription for one response, which holds the newest result until the client takes it. */
export function responseSubscriber(leave: () => void): Subscriber {
  const { stream, offer, end } = createMailbox<EncodedResult>(leave);
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
    return: stream.return,
  };
  return {
    stream: read,
    offer({ message }: SharedResult) {
      const replaced = offer({
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
    end,
  };
}

/** Whether a result is one that `responseSubscriber` passed on. */
export function isEncoded(result: ExecutionResult): result is EncodedResult {
  return 'message' in result && Buffer.isBuffer(result.message);
}
