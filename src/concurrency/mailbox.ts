/** A stream whose `return()` settles at once, even while `next()` is pending; an async generator's would not. */
export interface Stream<T> extends AsyncIterableIterator<T, undefined> {
  return(): Promise<IteratorResult<T, undefined>>;
}

/** Holds the newest item only: an item that is not read is replaced by the next one. Its methods need their `this`. */
export interface Mailbox<T> {
  /** Returns whether it replaced an item that was not read. */
  offer(item: T): boolean;
  /** Ends the stream; an item that is held can still be read. */
  end(): void;
  readonly stream: Stream<T>;
}

type Reader<T> = (result: IteratorResult<T, undefined>) => void;

/**
 * A class that is its own stream: there are some for each of thousands of subscriptions, and a closure for each method
 * would take more memory than the rest.
 */
class NewestItem<T> implements Mailbox<T>, Stream<T> {
  readonly #onEnd: () => void;
  #held: { readonly item: T } | null = null;
  #ended = false;
  #reader: Reader<T> | null = null;
  /** Those that came while `#reader` waited: hardly ever any. */
  #others: readonly Reader<T>[] | null = null;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  get stream(): Stream<T> {
    return this;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  offer(item: T): boolean {
    if (this.#ended) return false;
    const reader = this.#nextReader();
    if (reader !== null) {
      reader({ value: item, done: false });
      return false;
    }
    const replaced = this.#held !== null;
    this.#held = { item };
    return replaced;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (let reader = this.#nextReader(); reader !== null; reader = this.#nextReader()) {
      reader({ value: undefined, done: true });
    }
    this.#onEnd();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#held !== null) {
      const { item } = this.#held;
      this.#held = null;
      return Promise.resolve({ value: item, done: false });
    }
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise(resolve => {
      if (this.#reader === null) this.#reader = resolve;
      else this.#others = [...(this.#others ?? []), resolve];
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#held = null;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  #nextReader(): Reader<T> | null {
    const reader = this.#reader;
    this.#reader = null;
    if (this.#others === null) return reader;
    const [next = null, ...others] = this.#others;
    this.#reader = next;
    this.#others = others.length > 0 ? others : null;
    return reader;
  }
}

/** `onEnd` is called once, when the mailbox is ended or the stream is returned. */
export function createMailbox<T>(onEnd: () => void): Mailbox<T> {
  return new NewestItem<T>(onEnd);
}
