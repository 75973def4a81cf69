import type { Delivery } from '../jobs/webhook.ts';

/** A place for one try, or what had none left. */
export type Place = { ok: true; giveBack: () => void } | { ok: false; full: string };

/** Where tries are counted that are under way. */
export interface Places {
  /** How many tries may begin now, at most. */
  free(): number;
  /** Takes a place for a try of the delivery; to be given back once. */
  take(delivery: Delivery): Place;
}

/** Tries that may be under way at once, counted together under `key`. */
interface Bound {
  readonly key: string;
  readonly most: number;
}

const ALL: Bound = { key: 'all', most: 64 };
/** Of one caller, where callers are told apart: so those of one that nobody hears leave places to the others. */
const OF_A_SHARE = 16;
/** To one host, whatever the port, of one caller: so one that is slow does not hold up the caller's others. */
const TO_A_HOST = 8;
/** The part of every bound that only first tries get, so that what was not heard before does not hold up what is new. */
const FOR_FIRST_TRIES = 1 / 4;

/** Places for the tries of one process. */
export function createPlaces(): Places {
  const taken = new Map<string, number>();
  const count = (key: string): number => taken.get(key) ?? 0;

  function change(bounds: readonly Bound[], by: 1 | -1): void {
    for (const { key } of bounds) {
      const now = count(key) + by;
      if (now === 0) taken.delete(key);
      else taken.set(key, now);
    }
  }

  return {
    free: () => ALL.most - count(ALL.key),
    take(delivery) {
      const bounds = boundsOf(delivery);
      const part = delivery.attempts.length === 0 ? 1 : 1 - FOR_FIRST_TRIES;
      const full = bounds.find(({ key, most }) => count(key) >= most * part);
      if (full !== undefined) return { ok: false, full: full.key };
      change(bounds, 1);
      return { ok: true, giveBack: () => change(bounds, -1) };
    },
  };
}

/** The narrowest first. */
function boundsOf({ url, share = null }: Delivery): readonly Bound[] {
  const { hostname } = new URL(url);
  // Two callers may have receivers at one host: the silent ones of one are no reason for the other's to wait.
  const host = { key: `host ${hostname} of ${share ?? 'anybody'}`, most: TO_A_HOST };
  return share === null ? [host, ALL] : [host, { key: `share ${share}`, most: OF_A_SHARE }, ALL];
}
