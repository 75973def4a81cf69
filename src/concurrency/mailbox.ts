/** A stream whose `return()` settles at once, even while `next()` is pending; an async generator's would not. */
export interface Stream<T> extends AsyncIterableIterator<T, undefined> {
  return(): Promise<IteratorResult<T, undefined>>;
}

/** Holds the newest item only: an item that is not read is replaced by the next one. */
export interface Mailbox<T> {
  /** Returns whether it replaced an item that was not read. */
  offer(item: T): boolean;
  /** Ends the stream; an item that is held can still be read. */
  end(): void;
  readonly stream: Stream<T>;
}

/** `onEnd` is called once, when the mailbox is ended or the stream is returned. */
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
        // Usually the only one, in each of thousands of mailboxes: `push` would allocate room for seventeen.
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
      if (ended) return false;
      const [reader, ...others] = readers;
      if (reader === undefined) {
        const replaced = held !== null;
        held = { item };
        return replaced;
      }
      readers = others;
      reader({ value: item, done: false });
      return false;
    },
    end,
    stream,
  };
}
