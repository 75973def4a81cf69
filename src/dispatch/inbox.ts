/** A queue of one reader: what happened, in order, for a loop that waits for the next thing with a deadline. */
export interface Inbox<T> {
  push(item: T): void;
  /** Everything that is there now; when nothing is, waits up to `ms` for the first. Empty when time is up. */
  take(ms: number): Promise<T[]>;
}

/** Makes an empty inbox; it holds no timer while nobody waits. */
export function createInbox<T>(): Inbox<T> {
  let items: T[] = [];
  let wake: (() => void) | null = null;
  return {
    push(item) {
      items.push(item);
      wake?.();
    },
    async take(ms) {
      if (items.length === 0) {
        await new Promise<void>(resolve => {
          const timer = setTimeout(resolve, Math.max(0, ms));
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        wake = null;
      }
      const taken = items;
      items = [];
      return taken;
    },
  };
}
