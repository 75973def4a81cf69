/** How long somebody goes on without what they wait for. */
export interface Patience {
  /** Aborts with the last failure once patience has run out. */
  readonly signal: AbortSignal;
  /** There is nothing, and this is why. The clock starts unless it runs. */
  miss(failure: Error): void;
  /** It is there: the clock stops. */
  find(): void;
}

/** The longest that a timer can be set to, in milliseconds: 24 days. Whoever has more patience waits for ever. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Makes one of so many milliseconds, whose clock does not run yet. `find` leaves no timer behind. */
export function createPatience(milliseconds: number): Patience {
  const over = new AbortController();
  let timer: ReturnType<typeof setTimeout> | null = null;
  let last: Error;
  return {
    signal: over.signal,
    miss(failure) {
      last = failure;
      if (timer !== null || milliseconds > LONGEST_TIMER_MS) return;
      timer = setTimeout(() => over.abort(last), milliseconds);
    },
    find() {
      if (timer !== null) clearTimeout(timer);
      timer = null;
    },
  };
}
