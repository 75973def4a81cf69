import { createSparingly } from '../concurrency/sparingly.ts';
import type { Delivery } from '../jobs/delivery.ts';
import type { ClaimedDelivery, Clock, Outbox } from '../jobs/ports.ts';
import { loggedJob } from '../jobs/trace.ts';
import type { Log } from '../log.ts';
import type { Post } from './post.ts';
import { afterTry, type TryOutcome } from './retries.ts';
import { createPostponement, createSlots } from './slots.ts';

export interface SenderOptions {
  readonly outbox: Outbox;
  readonly post: Post;
  /** Pause between the first try of a delivery and the second, in milliseconds. */
  readonly firstPauseMs: number;
  /** Maximum duration of a try, in milliseconds. */
  readonly tryMs: number;
  readonly now: Clock;
  readonly log: Log;
}

export interface WebhookSender {
  /** Aborts the tries in flight; they are due again at once. */
  stop(): Promise<void>;
}

/** How often the outbox is polled for due deliveries, including those of gateways that died. */
const POLL_MS = 1_000;
/** A claim outlasts its try by this, so that no other process tries it meanwhile. */
const CLAIM_MARGIN_MS = 5_000;
/** Between two warnings of tries that fail at one receiver. */
const WARN_EVERY_MS = 60_000;

/**
 * Tries due deliveries in the background: as soon as this process stores one, and every second. A delivery is claimed
 * before its try and settled afterwards, so gateways share the work, and another one retries a delivery that was never
 * settled: at least once, usually exactly once. A delivery without a slot is returned to the outbox at once, so that it
 * does not delay others.
 */
export function startWebhookSender(options: SenderOptions): WebhookSender {
  const { outbox, post, firstPauseMs, tryMs, now, log } = options;
  const stopping = new AbortController();
  const tries = new Set<Promise<void>>();
  const slots = createSlots();
  const postpone = createPostponement(now);
  const mayWarn = createSparingly(WARN_EVERY_MS, now);
  let claiming: Promise<void> | null = null;
  let claimAgain = false;

  async function settle(...args: Parameters<Outbox['settle']>): Promise<void> {
    try {
      await outbox.settle(...args);
    } catch (error) {
      // The claim expires, and then the delivery is tried again.
      const [{ delivery }] = args;
      log.warn({ delivery: delivery.id, err: error }, 'could not store the result of a webhook delivery');
    }
  }

  async function attempt(claimed: ClaimedDelivery): Promise<void> {
    const { delivery } = claimed;
    const at = now();
    try {
      const outcome = await post(delivery, stopping.signal);
      const tried = { at, tookMs: now() - at };
      const { next, delayMs } = afterTry(delivery, tried, outcome, firstPauseMs, Math.random());
      await settle(claimed, next, delayMs);
      logTry(next, outcome);
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
      await settle(claimed, delivery, 0);
    }
  }

  function logTry(delivery: Delivery, outcome: TryOutcome): void {
    const { id, jobId, event, trace = null, url, status, attempts } = delivery;
    const fields = { ...loggedJob({ id: jobId, trace }), event, delivery: id, tries: attempts.length };
    if (outcome.kind === 'delivered') {
      log.debug({ ...fields, status: outcome.statusCode }, 'tried a webhook delivery');
      return;
    }
    // The rest of the URL may be a secret.
    const { host } = new URL(url);
    const failed = { ...fields, host, error: outcome.error };
    if (status === 'FAILED') log.warn(failed, 'gave up a webhook delivery');
    else if (mayWarn(host)) log.warn(failed, 'a webhook delivery failed, will retry');
    else log.debug(failed, 'a webhook delivery failed again, will retry');
  }

  /** Starts a try without waiting for it. Without a slot, resolves once the delivery is returned to the outbox. */
  async function start(claimed: ClaimedDelivery): Promise<void> {
    const { delivery } = claimed;
    const slot = slots.take(delivery);
    if (!slot.ok) return settle(claimed, delivery, postpone(slot.full));
    const running = attempt(claimed)
      .catch(error =>
        log.error({ delivery: delivery.id, err: error }, 'a webhook delivery failed unexpectedly'),
      )
      .finally(() => {
        slot.release();
        tries.delete(running);
        poll();
      });
    tries.add(running);
  }

  async function claimDue(): Promise<void> {
    while (!stopping.signal.aborted && slots.free() > 0) {
      claimAgain = false;
      const claimed = await outbox.claim(slots.free(), tryMs + CLAIM_MARGIN_MS);
      await Promise.all(claimed.map(start));
      if (claimed.length === 0 && !claimAgain) return;
    }
  }

  function poll(): void {
    claimAgain = true;
    if (stopping.signal.aborted) return;
    claiming ??= claimDue()
      .catch(error => log.debug({ err: error }, 'could not read the outbox, will retry'))
      .finally(() => {
        claiming = null;
      });
  }

  const timer = setInterval(poll, POLL_MS);
  const unsubscribe = outbox.onAdded(poll);
  poll();

  return {
    async stop() {
      clearInterval(timer);
      unsubscribe();
      stopping.abort();
      await claiming;
      await Promise.all(tries);
    },
  };
}
