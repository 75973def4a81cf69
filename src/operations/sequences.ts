import type { ExecutionResult } from 'graphql';
import type { EventSource, NoSource, SharedResult } from './live.ts';
import type { Member } from './subscriptions.ts';

/** Subscriptions whose events build on each other, so that none may be skipped. */
export interface Sequences {
  /**
   * Opens a source for one member and reads it as fast as the member does: what it has not read waits in the source,
   * which may combine it. An event that several sources have is executed once for all members under the same `key`.
   * Returns the result that says why there is no source, null if there is one. Rejects when opening does.
   */
  join(
    key: string,
    open: () => Promise<EventSource | NoSource>,
    member: Member,
  ): Promise<ExecutionResult | null>;
}

/** Results by event, for as long as there are members and the event is in use. */
interface Results {
  readonly byEvent: WeakMap<object, SharedResult | Promise<SharedResult>>;
  members: number;
}

/** Starts without subscriptions. */
export function createSequences(): Sequences {
  const resultsByKey = new Map<string, Results>();

  function enter(key: string): Results {
    const results = resultsByKey.get(key) ?? { byEvent: new WeakMap(), members: 0 };
    resultsByKey.set(key, results);
    results.members += 1;
    return results;
  }

  function leave(key: string, results: Results): void {
    results.members -= 1;
    if (results.members === 0) resultsByKey.delete(key);
  }

  return {
    async join(key, open, member) {
      const opened = await open();
      if (opened.kind === 'none') return opened.result;
      const source: EventSource = opened;
      const results = enter(key);

      function close(): void {
        leave(key, results);
        // The member, which could see it fail, is gone.
        source.events.return?.().catch(() => undefined);
      }

      function wait(): void {
        if (!member.left) source.events.next().then(take).catch(fail);
      }

      async function take({ value, done }: IteratorResult<unknown>): Promise<void> {
        if (member.left) return;
        if (done === true) return member.end();
        const shared = await sharedResultOf(source, results, value);
        if (member.left) return;
        member.offer(shared);
        member.whenReady(wait);
      }

      function fail(error: unknown): void {
        if (!member.left) member.fail(source.failure(error));
      }

      // It left while the source was opened.
      if (member.left) close();
      else {
        member.joined({ remove: close });
        wait();
      }
      return null;
    },
  };
}

function sharedResultOf(
  source: EventSource,
  { byEvent }: Results,
  event: unknown,
): SharedResult | Promise<SharedResult> {
  if (typeof event !== 'object' || event === null) return source.resultOf(event);
  const known = byEvent.get(event);
  if (known !== undefined) return known;
  const result = source.resultOf(event);
  byEvent.set(event, result);
  return result;
}
