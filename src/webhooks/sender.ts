import type { ClaimedDelivery, Clock, Outbox } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import { createPauses } from './pauses.ts';
import { createPlaces } from './places.ts';
import type { Post } from './post.ts';
import { afterTry } from './retries.ts';

export interface SenderOptions {
  readonly outbox: Outbox;
  readonly post: Post;
  /** Between the first try of a delivery and the second, in milliseconds. */
  readonly firstPauseMs: number;
  /** Longest that a try can take, in milliseconds. */
  readonly tryMs: number;
  readonly now: Clock;
  readonly log: Log;
}

/** What tells webhooks. */
export interface WebhookSender {
  /** Ends the tries under way; they are due again at once. */
  stop(): Promise<void>;
}

/** How often the outbox is asked for what is due, also of gateways that died. */
const POLL_MS = 1_000;
/** A claim outlives its try by this, so that nobody else tries meanwhile. */
const CLAIM_MARGIN_MS = 5_000;

/**
 * Tries what is due, beside the jobs: as soon as this process stored something, and every second for the rest. A
 * delivery is claimed before it is tried and settled after, so gateways share the work, and what one of them leaves
 * unsettled another tries again: at least once, mostly once. What finds no place is given back at once, so that this
 * process or another tries it later, and neither its claim nor its place in the order keeps others.
 */
export function startWebhookSender(options: SenderOptions): WebhookSender {
  const { outbox, post, firstPauseMs, tryMs, now, log } = options;
  const stopping = new AbortController();
  const tries = new Set<Promise<void>>();
  const places = createPlaces();
  const pauseFor = createPauses(now);
  let claiming: Promise<void> | null = null;
  let askAgain = false;

  async function settle(...args: Parameters<Outbox['settle']>): Promise<void> {
    try {
      await outbox.settle(...args);
    } catch (error) {
      // The claim runs out, and then it is tried again.
      const [{ delivery }] = args;
      log.warn({ delivery: delivery.id, error: String(error) }, 'a webhook’s try could not be noted');
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
      const { job, event } = { job: delivery.jobId, event: delivery.event };
      const told = { job, event, delivery: delivery.id, tries: next.attempts.length };
      if (next.status === 'FAILED') log.warn(told, 'a webhook was given up');
      else log.debug({ ...told, status: outcome.statusCode }, 'a webhook was tried');
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
      await settle(claimed, delivery, 0);
    }
  }

  /** Begins a try, which goes on by itself; resolves at once, or when the delivery is given back. */
  async function begin(claimed: ClaimedDelivery): Promise<void> {
    const { delivery } = claimed;
    const place = places.take(delivery);
    if (!place.ok) return settle(claimed, delivery, pauseFor(place.full));
    const running = attempt(claimed)
      .catch(error => log.error({ delivery: delivery.id, error: String(error) }, 'a webhook’s try broke'))
      .finally(() => {
        place.giveBack();
        tries.delete(running);
        ask();
      });
    tries.add(running);
  }

  async function claimDue(): Promise<void> {
    while (!stopping.signal.aborted && places.free() > 0) {
      askAgain = false;
      const claimed = await outbox.claim(places.free(), tryMs + CLAIM_MARGIN_MS);
      await Promise.all(claimed.map(begin));
      if (claimed.length === 0 && !askAgain) return;
    }
  }

  function ask(): void {
    askAgain = true;
    if (stopping.signal.aborted) return;
    claiming ??= claimDue()
      .catch(error => log.debug({ error: String(error) }, 'the outbox cannot be read, trying again'))
      .finally(() => {
        claiming = null;
      });
  }

  const timer = setInterval(ask, POLL_MS);
  const forget = outbox.onAdded(ask);
  ask();

  return {
    async stop() {
      clearInterval(timer);
      forget();
      stopping.abort();
      await claiming;
      await Promise.all(tries);
    },
  };
}
