import type { Clock } from '../jobs/ports.ts';

/** How long a delivery waits that found no place, in milliseconds, by what was full. */
export type Pauses = (full: string) => number;

const PAUSE_MS = 1_000;
/**
 * Between two that wait for the same: however many there are, a hundred a second are looked at again, so that they leave
 * the outbox to others.
 */
const APART_MS = 10;

/** Gives those that wait for the same their turns one after another, the first in a second. */
export function createPauses(now: Clock): Pauses {
  const latest = new Map<string, number>();
  return full => {
    const at = now();
    for (const [key, turn] of latest) if (turn <= at) latest.delete(key);
    const turn = Math.max(at + PAUSE_MS, (latest.get(full) ?? 0) + APART_MS);
    latest.set(full, turn);
    return turn - at;
  };
}
