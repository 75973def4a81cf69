import type { EventSource, NoSource, SharedResult, Subscribed, Subscriber } from './subscriptions.ts';

/** Subscriptions whose events build on each other, so that none may be skipped. */
export interface Sequences {
  /**
   * Opens a source for one subscriber and reads it as fast as the subscriber does: what it has not read waits in the source,
   * which may combine it. An event that several sources have is executed once for all subscribers under the same `key`.
   * Returns the subscriber's stream, or the result that says why there is none. Rejects when opening does. `onLeave` is
   * called when the subscriber leaves, if it ever joined.
   */
  join(
    key: string,
    open: () => Promise<EventSource | NoSource>,
    subscriberOf: (leave: () => void) => Subscriber,
    onLeave: () => void,
  ): Promise<Subscribed>;
}

/** Results by event, for as long as there are subscribers and the event is in use. */
interface Results {
  readonly byEvent: WeakMap<object, Promise<SharedResult>>;
  subscribers: number;
}

/** Starts without subscriptions. */
export function createSequences(): Sequences {
  const resultsByKey = new Map<string, Results>();

  function enter(key: string): Results {
    const results = resultsByKey.get(key) ?? { byEvent: new WeakMap(), subscribers: 0 };
    resultsByKey.set(key, results);
    results.subscribers += 1;
    return results;
  }

  function leave(key: string, results: Results): void {
    results.subscribers -= 1;
    if (results.subscribers === 0) resultsByKey.delete(key);
  }

  return {
    async join(key, open, subscriberOf, onLeave) {
      const opened = await open();
      if (opened.kind === 'none') return opened.result;
      const source: EventSource = opened;
      const results = enter(key);
      let left = false;
      const subscriber = subscriberOf(() => {
        left = true;
        leave(key, results);
        // The subscriber, which could see it fail, is gone.
        source.events.return?.().catch(() => undefined);
        onLeave();
      });

      function wait(): void {
        // A source that breaks ends its subscriber, which subscribes again.
        if (!left) source.events.next().then(take).catch(finish);
      }

      async function take({ value, done }: IteratorResult<unknown>): Promise<void> {
        if (done === true) return finish();
        const shared = await sharedResultOf(source, results, value);
        if (left) return;
        subscriber.offer(shared);
        subscriber.whenReady(wait);
      }

      function finish(): void {
        if (!left) subscriber.end();
      }

      wait();
      return subscriber.stream;
    },
  };
}

function sharedResultOf(source: EventSource, { byEvent }: Results, event: unknown): Promise<SharedResult> {
  if (typeof event !== 'object' || event === null) return source.resultOf(event);
  const known = byEvent.get(event);
  if (known !== undefined) return known;
  const result = source.resultOf(event);
  byEvent.set(event, result);
  return result;
}
