/** Whether something may be said of this name now: not within an interval of the last time that it was. */
export type Sparingly = (name: string) => boolean;

/** Names that are remembered: of more that come within an interval, nothing is said. */
const MOST_NAMES = 1_000;

/** Lets a log have a line per name and interval, however often there is a reason for one. Needs no timers. */
export function createSparingly(intervalMs: number, now: () => number): Sparingly {
  /** When each was said last, the oldest first. */
  const said = new Map<string, number>();
  return name => {
    const at = now();
    for (const [old, when] of said) {
      if (at >= when && at - when < intervalMs) break;
      said.delete(old);
    }
    if (said.has(name) || said.size >= MOST_NAMES) return false;
    said.set(name, at);
    return true;
  };
}
