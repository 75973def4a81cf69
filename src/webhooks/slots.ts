import type { Delivery } from '../jobs/delivery.ts';
import type { Clock } from '../jobs/ports.ts';

/** A slot for one try, or the key of the limit that was reached. */
export type Slot = { ok: true; release: () => void } | { ok: false; full: string };

/** Limits the tries in flight. */
export interface Slots {
  /** How many tries may start now, at most. */
  free(): number;
  /** Takes a slot for a try of the delivery, to be released once. */
  take(delivery: Delivery): Slot;
}

/** A limit on the tries in flight that are counted under `key`. */
interface Limit {
  readonly key: string;
  readonly max: number;
}

const ALL: Limit = { key: 'all', max: 64 };
/** Per caller, if callers are identified: one caller's unreachable receivers leave slots to the others. */
const PER_SHARE = 16;
/** Per host and caller, whatever the port: one slow host does not delay the caller's other receivers. */
const PER_HOST = 8;
/** The part of every limit that only first tries get, so that retries do not delay new deliveries. */
const FOR_FIRST_TRIES = 1 / 4;

/** The slots of one process. */
export function createSlots(): Slots {
  const taken = new Map<string, number>();
  const count = (key: string): number => taken.get(key) ?? 0;

  function add(limits: readonly Limit[], by: 1 | -1): void {
    for (const { key } of limits) {
      const now = count(key) + by;
      if (now === 0) taken.delete(key);
      else taken.set(key, now);
    }
  }

  return {
    free: () => ALL.max - count(ALL.key),
    take(delivery) {
      const limits = limitsOf(delivery);
      const part = delivery.attempts.length === 0 ? 1 : 1 - FOR_FIRST_TRIES;
      const full = limits.find(({ key, max }) => count(key) >= max * part);
      if (full !== undefined) return { ok: false, full: full.key };
      add(limits, 1);
      return { ok: true, release: () => add(limits, -1) };
    },
  };
}

/** The narrowest first. */
function limitsOf({ url, share }: Delivery): readonly Limit[] {
  const { hostname } = new URL(url);
  // Per caller as well: two callers may have receivers on one host, and one's silent receivers must not delay the other.
  const host = { key: `host ${hostname} of ${share ?? 'all'}`, max: PER_HOST };
  return share === null ? [host, ALL] : [host, { key: `share ${share}`, max: PER_SHARE }, ALL];
}

/** Milliseconds that a delivery without a slot is postponed, by the limit that was reached. */
export type Postponement = (full: string) => number;

const POSTPONE_MS = 1_000;
/**
 * Between two deliveries that are postponed for the same limit: at most a hundred of them per second become due, however
 * many there are, so that the outbox has room for others.
 */
const SPACING_MS = 10;

/** Spreads deliveries that are postponed for the same limit, the first by a second. */
export function createPostponement(now: Clock): Postponement {
  const latest = new Map<string, number>();
  return full => {
    const at = now();
    for (const [key, due] of latest) if (due <= at) latest.delete(key);
    const due = Math.max(at + POSTPONE_MS, (latest.get(full) ?? 0) + SPACING_MS);
    latest.set(full, due);
    return due - at;
  };
}
