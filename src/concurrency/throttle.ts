/** Hands on the newest item, at most once per interval. */
export interface Throttle<T> {
  /** Hands the item on now, or holds it until the interval has passed; it replaces an item that is held. */
  offer(item: T): void;
  /** Drops an item that is held, and the timer. */
  stop(): void;
}

/** `take` gets each item that is handed on. Has a timer only within an interval after one. */
export function createThrottle<T>(intervalMs: number, take: (item: T) => void): Throttle<T> {
  let timer: NodeJS.Timeout | null = null;
  let held: { readonly item: T } | null = null;

  function pass(item: T): void {
    timer = setTimeout(reopen, intervalMs);
    take(item);
  }

  function reopen(): void {
    timer = null;
    if (held === null) return;
    const { item } = held;
    held = null;
    pass(item);
  }

  return {
    offer(item) {
      if (timer === null) pass(item);
      else held = { item };
    },
    stop() {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      held = null;
    },
  };
}
