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

/** Reads a stream by calls instead of promises, which would be held while nothing arrives. Its methods must not throw. */
export interface Receiver<T> {
  receive(item: T): void;
  /** The stream ended. */
  finish(): void;
  /** The stream failed, which ends it. */
  fail(error: unknown): void;
}

/** Passes the next item of a stream to `receiver`, or its end, in a later turn. Not before it passed on the one before. */
export function receiveNext<T>(stream: AsyncIterator<T>, receiver: Receiver<T>): void {
  if (stream instanceof NewestItem) stream.receiveNext(receiver);
  else {
    stream.next().then(
      ({ value, done }) => (done === true ? receiver.finish() : receiver.receive(value)),
      (error: unknown) => receiver.fail(error),
    );
  }
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
  #receiver: Receiver<T> | null = null;
  /** Whether `#receiver` is called in this turn. */
  #called = false;

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
    this.#callReceiver();
    return replaced;
  }

  receiveNext(receiver: Receiver<T>): void {
    this.#receiver = receiver;
    if (this.#held !== null || this.#ended) this.#callReceiver();
  }

  /** Items that are offered before it is called replace each other. */
  #callReceiver(): void {
    if (this.#receiver === null || this.#called) return;
    this.#called = true;
    process.nextTick(passOn, this);
  }

  passOn(): void {
    const receiver = this.#receiver;
    this.#receiver = null;
    this.#called = false;
    if (receiver === null) return;
    if (this.#held === null) {
      receiver.finish();
      return;
    }
    const { item } = this.#held;
    this.#held = null;
    receiver.receive(item);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (let reader = this.#nextReader(); reader !== null; reader = this.#nextReader()) {
      reader({ value: undefined, done: true });
    }
    this.#callReceiver();
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

// Not a closure for each call.
function passOn(mailbox: NewestItem<unknown>): void {
  mailbox.passOn();
}

/** `onEnd` is called once, when the mailbox is ended or the stream is returned. */
export function createMailbox<T>(onEnd: () => void): Mailbox<T> {
  return new NewestItem<T>(onEnd);
}
