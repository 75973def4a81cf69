const OVER = { value: undefined, done: true } as const;

/**
 * Yields what `follow` takes from the first call of `next` on. `follow` gets a signal that aborts with `signal` and with
 * `return()`, which settles at once. It runs independently of the reader, so that the loss of a connection is noticed
 * between two calls of `next` too. Values that are not read in time are joined; by default only the newest is kept.
 */
export function iterate<T extends object>(
  signal: AbortSignal,
  follow: (signal: AbortSignal, take: (value: T) => void) => Promise<void>,
  join: (held: T, next: T) => T = (_held, next) => next,
): AsyncIterableIterator<T, undefined> {
  const returned = new AbortController();
  const latest = createLatest<T>(join);
  let started = false;
  let over = false;

  function start(): void {
    started = true;
    follow(AbortSignal.any([signal, returned.signal]), latest.offer).then(latest.end, latest.fail);
  }

  async function take(): Promise<T | null> {
    try {
      const value = await latest.take();
      signal.throwIfAborted();
      return value;
    } catch (error) {
      if (over) return null;
      over = true;
      throw error;
    }
  }

  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (!started && !over) start();
      const value = over ? null : await take();
      return value === null ? OVER : { value, done: false };
    },
    async return() {
      over = true;
      returned.abort();
      latest.end();
      return OVER;
    },
  };
}

/** Holds at most one value: what was offered and not taken yet, joined, or only the newest of it. */
interface Latest<T> {
  offer(value: T): void;
  /** A held value can still be taken, then null. Later calls have no effect. */
  end(): void;
  /** The same, but `take` then rejects with the error. */
  fail(error: unknown): void;
  /** The value; null at the end. Calls that wait for a value are served in order. */
  take(): Promise<T | null>;
}

/** `join` keeps what a slow reader must not miss; its memory must not grow without end. */
function createLatest<T extends object>(join: (held: T, next: T) => T): Latest<T> {
  let held: T | null = null;
  let ended = false;
  let failure: { readonly error: unknown } | null = null;
  let waiting: (() => void)[] = [];

  function wakeAll(): void {
    const woken = waiting;
    waiting = [];
    for (const wake of woken) wake();
  }

  function end(): void {
    ended = true;
    wakeAll();
  }

  return {
    offer(value) {
      if (ended) return;
      held = held === null ? value : join(held, value);
      wakeAll();
    },
    end,
    fail(error) {
      if (ended) return;
      failure = { error };
      end();
    },
    async take() {
      while (held === null && !ended) {
        await new Promise<void>(resolve => {
          waiting.push(resolve);
        });
      }
      const value = held;
      held = null;
      if (value === null && failure !== null) throw failure.error;
      return value;
    },
  };
}
