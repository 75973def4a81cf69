import type { ExecutionResult } from 'graphql';
import { describe, expect, it } from 'vitest';
import { createMailbox, type Mailbox } from '../../src/concurrency/mailbox.ts';
import {
  createSharedSubscriptions,
  type SharedResult,
  type Subscribed,
} from '../../src/operations/subscriptions.ts';

/** Subscribers as server-sent events use them: each reads from a mailbox of its own. */
function shareResults() {
  const { join, size } = createSharedSubscriptions();
  return {
    size,
    join: (key: string, open: () => Promise<Subscribed>) =>
      join(
        key,
        open,
        leave => {
          const mailbox = createMailbox<ExecutionResult>(leave);
          // A subscription that is shared waits for no subscriber.
          const whenReady = (): void => expect.unreachable();
          return {
            stream: mailbox.stream,
            offer: shared => mailbox.offer(resultOf(shared)),
            whenReady,
            end: () => mailbox.end(),
          };
        },
        () => undefined,
      ),
  };
}

/** Parsed once for each shared result, so that its identity shows whether it was shared. */
const parsed = new WeakMap<SharedResult, ExecutionResult>();

function resultOf(shared: SharedResult): ExecutionResult {
  const result: ExecutionResult = parsed.get(shared) ?? JSON.parse(shared.message.toString().slice(0, -1));
  parsed.set(shared, result);
  return result;
}

const result = (n: number): ExecutionResult => ({ data: { n } });

/** A source that is driven by hand, and counts how often it was opened and closed. */
function source(): {
  open: () => Promise<Subscribed>;
  box: () => Mailbox<ExecutionResult>;
  opened: number;
  closed: number;
} {
  let current: Mailbox<ExecutionResult> | null = null;
  const counts = {
    opened: 0,
    closed: 0,
    open: async () => {
      counts.opened += 1;
      current = createMailbox(() => {
        counts.closed += 1;
      });
      return current.stream;
    },
    box() {
      if (current === null) throw new Error('not open');
      return current;
    },
  };
  return counts;
}

async function streamOf(subscribed: Promise<Subscribed>): Promise<AsyncIterator<ExecutionResult>> {
  const opened = await subscribed;
  if (!(Symbol.asyncIterator in opened)) throw new Error('no stream');
  return opened[Symbol.asyncIterator]();
}

describe('shared subscriptions', () => {
  it('execute once for all subscribers of the same key, also when they join at once', async () => {
    const shared = shareResults();
    const from = source();
    const watchers = await Promise.all(
      Array.from({ length: 50 }, () => streamOf(shared.join('k', from.open))),
    );
    expect(from.opened).toBe(1);
    from.box().offer(result(1));
    const seen = await Promise.all(watchers.map(watcher => watcher.next()));
    // The very same result: nothing was executed or copied for each.
    expect(new Set(seen.map(({ value }) => value)).size).toBe(1);
  });

  it('are not shared between keys', async () => {
    const shared = shareResults();
    const [a, b] = [source(), source()];
    const one = await streamOf(shared.join('a', a.open));
    const other = await streamOf(shared.join('b', b.open));
    a.box().offer(result(1));
    b.box().offer(result(2));
    expect((await one.next()).value).toEqual(result(1));
    expect((await other.next()).value).toEqual(result(2));
  });

  it('offer a late subscriber the newest result first', async () => {
    const shared = shareResults();
    const from = source();
    const first = await streamOf(shared.join('k', from.open));
    from.box().offer(result(1));
    await first.next();
    from.box().offer(result(2));
    await first.next();
    const late = await streamOf(shared.join('k', from.open));
    expect((await late.next()).value).toEqual(result(2));
    from.box().offer(result(3));
    expect((await late.next()).value).toEqual(result(3));
  });

  it('hold one result for a subscriber that does not read, and go on for the others', async () => {
    const shared = shareResults();
    const from = source();
    const stalled = await streamOf(shared.join('k', from.open));
    const reading = await streamOf(shared.join('k', from.open));
    for (let n = 1; n <= 1_000; n += 1) {
      from.box().offer(result(n));
      expect((await reading.next()).value).toEqual(result(n));
    }
    from.box().end();
    expect((await reading.next()).done).toBe(true);
    expect((await stalled.next()).value).toEqual(result(1_000));
    expect((await stalled.next()).done).toBe(true);
  });

  it('close the source when the last subscriber leaves, and open it again for the next', async () => {
    const shared = shareResults();
    const from = source();
    const [one, other] = [
      await streamOf(shared.join('k', from.open)),
      await streamOf(shared.join('k', from.open)),
    ];
    const parked = one.next();
    await one.return?.();
    expect((await parked).done).toBe(true);
    expect([from.closed, shared.size()]).toEqual([0, 1]);
    await other.return?.();
    expect([from.closed, shared.size()]).toEqual([1, 0]);
    await streamOf(shared.join('k', from.open));
    expect(from.opened).toBe(2);
  });

  it('give every subscriber the result of a failed start, and keep nothing of it', async () => {
    const shared = shareResults();
    const refused: ExecutionResult = { data: null };
    const open = async (): Promise<Subscribed> => refused;
    expect(await Promise.all([shared.join('k', open), shared.join('k', open)])).toEqual([refused, refused]);
    await expect(shared.join('k', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(shared.size()).toBe(0);
  });
});
