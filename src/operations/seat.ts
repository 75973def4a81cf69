import type { Observation } from './hooks.ts';
import type { SharedResult } from './live.ts';
import type { SubscriptionQuota } from './quota.ts';
import type { Member, Place, Subscriber } from './subscriptions.ts';

/** What a subscriber needs to leave. */
export interface Seat {
  /** The subscriber's reader has the last result, or is gone. Safe to call twice. */
  leave(): void;
}

/**
 * A subscriber that counts: within its caller's quota until it leaves, and for the hooks. One object for all of that,
 * without closures, because there are thousands.
 */
export class CountedSubscriber implements Member, Seat {
  readonly #quota: SubscriptionQuota;
  readonly #key: string;
  readonly #observation: Observation | null;
  #subscriber: Subscriber | null = null;
  #place: Place | null = null;
  left = false;

  /** Takes a place in the quota of `key` that was entered already. */
  constructor(quota: SubscriptionQuota, key: string, observation: Observation | null) {
    this.#quota = quota;
    this.#key = key;
    this.#observation = observation;
  }

  /** Before it joins. */
  readBy<S extends Subscriber>(subscriber: S): S {
    this.#subscriber = subscriber;
    return subscriber;
  }

  joined(place: Place): void {
    this.#place = place;
  }

  offer(result: SharedResult): boolean {
    const replaced = this.#subscriber?.offer(result) === true;
    this.#observation?.result(result.errors, replaced);
    return replaced;
  }

  whenReady(callback: () => void): void {
    this.#subscriber?.whenReady(callback);
  }

  end(): void {
    this.#observation?.end('completed');
    this.#subscriber?.end();
  }

  fail(result: SharedResult): void {
    this.offer(result);
    this.#observation?.end('failed');
    this.#subscriber?.end();
  }

  leave(): void {
    if (this.left) return;
    this.left = true;
    this.#place?.remove(this);
    this.#quota.leave(this.#key);
    this.#observation?.end('left');
  }
}
