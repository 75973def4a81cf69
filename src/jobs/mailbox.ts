/** A stream whose `return()` settles at once, also while `next()` waits: a parked async generator would not. */
export interface Stream<T> extends AsyncIterableIterator<T, undefined> {
  return(): Promise<IteratorResult<T, undefined>>;
}

/** A box for one reader that holds one thing: what comes is read, or overwritten by what is newer. */
export interface Mailbox<T> {
  offer(item: T): void;
  /** What is in the box is still read, nothing after it. */
  end(): void;
  readonly stream: Stream<T>;
}

/** `onEnd` is called once, when the box is ended or its reader leaves. */
export function createMailbox<T>(onEnd: () => void): Mailbox<T> {
  let held: { item: T } | null = null;
  let ended = false;
  let readers: readonly ((result: IteratorResult<T, undefined>) => void)[] = [];

  function end(): void {
    if (ended) return;
    ended = true;
    const parked = readers;
    readers = [];
    for (const reader of parked) reader({ value: undefined, done: true });
    onEnd();
  }

  const stream: Stream<T> = {
    [Symbol.asyncIterator]: () => stream,
    next() {
      if (held !== null) {
        const { item } = held;
        held = null;
        return Promise.resolve({ value: item, done: false });
      }
      if (ended) return Promise.resolve({ value: undefined, done: true });
      return new Promise(resolve => {
        // Mostly the only one, and thousands of boxes wait: `push` would make room for seventeen.
        readers = [...readers, resolve];
      });
    },
    return() {
      held = null;
      end();
      return Promise.resolve({ value: undefined, done: true });
    },
  };

  return {
    offer(item) {
      if (ended) return;
      const [reader, ...others] = readers;
      if (reader === undefined) held = { item };
      else {
        readers = others;
        reader({ value: item, done: false });
      }
    },
    end,
    stream,
  };
}
