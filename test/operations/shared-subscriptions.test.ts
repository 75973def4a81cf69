import { type ExecutionResult, GraphQLError } from 'graphql';
import { describe, expect, it, vi } from 'vitest';
import { createMailbox, type Mailbox } from '../../src/concurrency/mailbox.ts';
import {
  type EventSource,
  type NoSource,
  payloadOf,
  type SharedResult,
  sharedResult,
} from '../../src/operations/live.ts';
import { createSequences } from '../../src/operations/sequences.ts';
import { createSharedSubscriptions, type Member, type Place } from '../../src/operations/subscriptions.ts';

type Opened = EventSource | NoSource;

/** Subscribers as server-sent events use them: each reads from a mailbox of its own. */
function shareResults() {
  const { join, size } = createSharedSubscriptions();
  return {
    size,
    async join(
      key: string,
      open: () => Promise<Opened>,
    ): Promise<AsyncIterator<ExecutionResult> | ExecutionResult> {
      const reader = new Reader();
      return (await join(key, open, reader)) ?? reader.mailbox.stream;
    },
  };
}

class Reader implements Member {
  left = false;
  #place: Place | null = null;
  readonly mailbox = createMailbox<ExecutionResult>(() => this.leave());

  joined(place: Place): void {
    this.#place = place;
  }

  offer(shared: SharedResult): boolean {
    return this.mailbox.offer(resultOf(shared));
  }

  /** A subscription that is shared waits for no subscriber. */
  whenReady(): void {
    expect.unreachable();
  }

  end(): void {
    this.mailbox.end();
  }

  fail(shared: SharedResult): void {
    this.offer(shared);
    this.end();
  }

  leave(): void {
    this.left = true;
    this.#place?.remove(this);
  }
}

/** Parsed once for each shared result, so that its identity shows whether it was shared. */
const parsed = new WeakMap<SharedResult, ExecutionResult>();

function resultOf(shared: SharedResult): ExecutionResult {
  const result: ExecutionResult = parsed.get(shared) ?? JSON.parse(payloadOf(shared).toString().slice(0, -1));
  parsed.set(shared, result);
  return result;
}

const result = (n: number): ExecutionResult => ({ data: { n } });
const sharedResultOf = (event: unknown): SharedResult => sharedResult({ data: Object(event).data });
const failure = (error: unknown): SharedResult =>
  sharedResult({ errors: [new GraphQLError(`masked: ${error instanceof Error ? error.message : ''}`)] });

/** A source that is driven by hand, and counts how often it was opened and closed. */
function source(): {
  open: () => Promise<Opened>;
  box: () => Mailbox<ExecutionResult>;
  opened: number;
  closed: number;
} {
  let current: Mailbox<ExecutionResult> | null = null;
  const counts = {
    opened: 0,
    closed: 0,
    open: async (): Promise<Opened> => {
      counts.opened += 1;
      current = createMailbox(() => {
        counts.closed += 1;
      });
      return { kind: 'events', events: current.stream, resultOf: sharedResultOf, failure };
    },
    box() {
      if (current === null) throw new Error('not open');
      return current;
    },
  };
  return counts;
}

async function streamOf(
  joined: Promise<AsyncIterator<ExecutionResult> | ExecutionResult>,
): Promise<AsyncIterator<ExecutionResult>> {
  const stream = await joined;
  if (!('next' in stream)) throw new Error('no stream');
  return stream;
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

  it('do not keep a subscriber that leaves while they open, and open again for the one that stays', async () => {
    const { join, size } = createSharedSubscriptions();
    const from = source();
    const [gone, waits] = [new Reader(), new Reader()];
    const joining = [join('k', from.open, gone), join('k', from.open, waits)];
    gone.leave();
    expect(await Promise.all(joining)).toEqual([null, null]);
    expect([from.opened, from.closed, size()]).toEqual([2, 1, 1]);
    from.box().offer(result(1));
    expect((await waits.mailbox.stream.next()).value).toEqual(result(1));
    waits.leave();
    expect([from.closed, size()]).toEqual([2, 0]);
  });

  it('give every subscriber the result of a failed start, and keep nothing of it', async () => {
    const shared = shareResults();
    const refused: ExecutionResult = { data: null };
    const open = async (): Promise<Opened> => ({ kind: 'none', result: refused });
    expect(await Promise.all([shared.join('k', open), shared.join('k', open)])).toEqual([refused, refused]);
    await expect(shared.join('k', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(shared.size()).toBe(0);
  });

  it('give every subscriber the error of a result that cannot be encoded, and close its source', async () => {
    const shared = shareResults();
    const from = source();
    const readers = [
      await streamOf(shared.join('k', from.open)),
      await streamOf(shared.join('k', from.open)),
    ];
    from.box().offer({ data: { large: 1n } });
    for (const reader of readers) {
      expect((await reader.next()).value?.errors).toEqual([
        { message: expect.stringMatching(/^masked: .*BigInt/) },
      ]);
      expect((await reader.next()).done).toBe(true);
    }
    expect([from.closed, shared.size()]).toEqual([1, 0]);
    await streamOf(shared.join('k', from.open));
    expect(from.opened).toBe(2);
  });

  it('give every subscriber the error of a source that fails', async () => {
    const shared = shareResults();
    const open = async (): Promise<Opened> => ({
      kind: 'events',
      events: { next: fail },
      resultOf: sharedResultOf,
      failure,
    });
    const readers = await Promise.all([streamOf(shared.join('k', open)), streamOf(shared.join('k', open))]);
    for (const reader of readers) {
      expect((await reader.next()).value).toEqual({ errors: [{ message: 'masked: the store is away' }] });
      expect((await reader.next()).done).toBe(true);
    }
    expect(shared.size()).toBe(0);
  });
});

describe('a sequence', () => {
  it.each([
    ['a source that fails', 'the store is away', fail],
    ['a result that cannot be encoded', 'BigInt', async () => ({ value: { data: { large: 1n } } })],
  ])('gives its subscriber the error of %s, and closes the source', async (_, message, next) => {
    const reader = new Reader();
    const close = vi.fn(async () => ({ value: undefined, done: true }));
    const events: AsyncIterator<unknown> = { next, return: close };
    const open = async (): Promise<Opened> => ({ kind: 'events', events, resultOf: sharedResultOf, failure });
    expect(await createSequences().join('k', open, reader)).toBeNull();
    const { stream } = reader.mailbox;
    expect((await stream.next()).value?.errors).toEqual([{ message: expect.stringContaining(message) }]);
    expect((await stream.next()).done).toBe(true);
    expect(close).toHaveBeenCalledOnce();
  });
});

async function fail(): Promise<never> {
  throw new Error('the store is away');
}
