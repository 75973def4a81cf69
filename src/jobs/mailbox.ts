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
  const readers: ((result: IteratorResult<T, undefined>) => void)[] = [];

  function end(): void {
    if (ended) return;
    ended = true;
    for (const reader of readers.splice(0)) reader({ value: undefined, done: true });
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
      return new Promise(resolve => readers.push(resolve));
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
      const reader = readers.shift();
      if (reader) reader({ value: item, done: false });
      else held = { item };
    },
    end,
    stream,
  };
}
