import { type ExecutionResult, GraphQLError } from 'graphql';
import { isAsyncIterable, type Plugin } from 'graphql-yoga';

/** Counts what each caller watches, by socket or by server-sent events. */
export interface WatchQuota {
  readonly perCaller: number;
  /** Null when the caller watches as much as may be; otherwise the way to stop counting, which may be called often. */
  enter(key: string): (() => void) | null;
}

/** At most `perCaller` at once for each key. */
export function createWatchQuota(perCaller: number): WatchQuota {
  const counts = new Map<string, number>();
  return {
    perCaller,
    enter(key) {
      const count = counts.get(key) ?? 0;
      if (count >= perCaller) return null;
      counts.set(key, count + 1);
      let left = false;
      return () => {
        if (left) return;
        left = true;
        const rest = (counts.get(key) ?? 1) - 1;
        if (rest === 0) counts.delete(key);
        else counts.set(key, rest);
      };
    },
  };
}

/** The answer to a subscription that is one too many. */
export function tooManySubscriptions(limit: number, where: string): GraphQLError {
  return new GraphQLError(`At most ${limit} subscriptions at once ${where}`, {
    extensions: { code: 'TOO_MANY_SUBSCRIPTIONS' },
  });
}

/** What the quota needs to know of an operation. */
export interface WatchContext {
  /** Whose subscriptions are counted together; null for one that was counted where it came in. */
  readonly clientKey: string | null;
}

/** Holds every subscription against the quota, on each way by which it can come. */
export function useWatchQuota(quota: WatchQuota): Plugin<WatchContext> {
  return {
    onSubscribe({ args, setResultAndStopExecution }) {
      const { clientKey } = args.contextValue;
      if (clientKey === null) return;
      const leave = quota.enter(clientKey);
      if (leave === null) {
        setResultAndStopExecution({ errors: [tooManySubscriptions(quota.perCaller, 'for one caller')] });
        return;
      }
      // The executor answers with errors; it does not throw them, so this is always reached.
      return {
        onSubscribeResult({ result, setResult }) {
          if (isAsyncIterable(result)) setResult(whileOpen(result, leave));
          else leave();
        },
      };
    },
  };
}

/** The same results; `leave` is called when they end, whichever side ends them. */
function whileOpen(
  source: AsyncIterable<ExecutionResult>,
  leave: () => void,
): AsyncIterableIterator<ExecutionResult> {
  const inner = source[Symbol.asyncIterator]();
  const results: AsyncIterableIterator<ExecutionResult> = {
    async next() {
      try {
        const step = await inner.next();
        if (step.done === true) leave();
        return step;
      } catch (error) {
        leave();
        throw error;
      }
    },
    async return() {
      leave();
      return (await inner.return?.()) ?? { done: true, value: undefined };
    },
    async throw(error: unknown) {
      leave();
      if (inner.throw === undefined) throw error;
      return inner.throw(error);
    },
    [Symbol.asyncIterator]: () => results,
  };
  return results;
}
