import type { Delivery, DeliveryAttempt } from '../jobs/webhook.ts';

/** What came of one try. `again` says whether another may help; `retryAfterMs` is what the receiver asked for. */
export type TryOutcome =
  | { kind: 'delivered'; statusCode: number }
  | {
      kind: 'failed';
      statusCode: number | null;
      error: string;
      again: boolean;
      retryAfterMs: number | null;
    };

/** From the event to the last try. */
const DAY_MS = 24 * 3_600_000;
/** Each pause is this many times the one before, up to the longest. */
const GROWTH = 3;
const LONGEST_PAUSE_MS = 6 * 3_600_000;
/** A pause is up to this part shorter or longer, so that what failed together is not tried together again. */
const JITTER = 0.2;

/**
 * A delivery after a try, and when it is due again: null when it is over. Pure.
 *
 * @param firstPauseMs Between the first try and the second.
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
  if (!outcome.again || nextAttemptAt > delivery.at + DAY_MS) {
    return { next: { ...delivery, attempts, status: 'FAILED', nextAttemptAt: null }, delayMs: null };
  }
  return { next: { ...delivery, attempts, nextAttemptAt }, delayMs: pause };
}

function pauseAfter(tries: number, firstPauseMs: number, random: number): number {
  const pause = Math.min(firstPauseMs * GROWTH ** (tries - 1), LONGEST_PAUSE_MS);
  return Math.round(pause * (1 - JITTER + 2 * JITTER * random));
}
