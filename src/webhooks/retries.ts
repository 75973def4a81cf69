import type { Delivery, DeliveryAttempt } from '../jobs/delivery.ts';

/** The outcome of one try. `retry`: another try may succeed. `retryAfterMs`: the pause that the receiver requested. */
export type TryOutcome =
  | { kind: 'delivered'; statusCode: number }
  | {
      kind: 'failed';
      statusCode: number | null;
      error: string;
      retry: boolean;
      retryAfterMs: number | null;
    };

/** Longest time from the event to the last try. */
const DAY_MS = 24 * 3_600_000;
/** Each pause is this many times longer than the one before, up to the maximum. */
const GROWTH = 3;
const MAX_PAUSE_MS = 6 * 3_600_000;
/** A pause is randomly up to this part shorter or longer, so that deliveries that failed together spread out. */
const JITTER = 0.2;

/**
 * A delivery after a try, and the delay until the next one, null if there is none. Pure.
 *
 * @param firstPauseMs Pause between the first try and the second.
 * @param random 0 … 1, for the jitter.
 */
export function afterTry(
  delivery: Delivery,
  attempt: Pick<DeliveryAttempt, 'at' | 'tookMs'>,
  outcome: TryOutcome,
  firstPauseMs: number,
  random: number,
): { next: Delivery; delayMs: number | null } {
  const error = outcome.kind === 'failed' ? outcome.error : null;
  const attempts = [...delivery.attempts, { ...attempt, statusCode: outcome.statusCode, error }];
  if (outcome.kind === 'delivered') {
    return { next: { ...delivery, attempts, status: 'DELIVERED', nextAttemptAt: null }, delayMs: null };
  }
  const pause = Math.max(pauseAfter(attempts.length, firstPauseMs, random), outcome.retryAfterMs ?? 0);
  const nextAttemptAt = attempt.at + attempt.tookMs + pause;
  if (!outcome.retry || nextAttemptAt > delivery.at + DAY_MS) {
    return { next: { ...delivery, attempts, status: 'FAILED', nextAttemptAt: null }, delayMs: null };
  }
  return { next: { ...delivery, attempts, nextAttemptAt }, delayMs: pause };
}

function pauseAfter(tries: number, firstPauseMs: number, random: number): number {
  const pause = Math.min(firstPauseMs * GROWTH ** (tries - 1), MAX_PAUSE_MS);
  return Math.round(pause * (1 - JITTER + 2 * JITTER * random));
}
