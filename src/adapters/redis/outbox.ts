import type { Clock, Outbox } from '../../jobs/ports.ts';
import type { Delivery } from '../../jobs/webhook.ts';
import type { Client } from './client.ts';
import { reach } from './failure.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber } from './replies.ts';

export interface RedisOutboxOptions {
  readonly client: Client;
  readonly keys: Keys;
  /** Null: claims go by Redis' own clock. */
  readonly now: Clock | null;
}

/** The outbox that gateways share, and how the ledger says that it added to it. */
export interface RedisOutbox extends Outbox {
  announce(): void;
  close(): void;
}

/** Deliveries lie in one hash a job; a sorted set has those that are due some time. */
export function createRedisOutbox({ client, keys, now }: RedisOutboxOptions): RedisOutbox {
  const listeners = new Set<() => void>();
  const time = (): string => (now === null ? '' : String(now()));

  return {
    async claim(limit, leaseMs) {
      const reply = await reach(
        client.qeClaimDeliveries(keys.outbox, keys.prefix, time(), limit, Math.ceil(leaseMs)),
      );
      const [token, ...found] = asList(reply);
      return found.map(text => ({ delivery: asDelivery(text), token: Number(token) }));
    },
    async settle({ token }, next, delayMs) {
      const reply = await reach(
        client.qeSettleDelivery(
          keys.outbox,
          keys.prefix,
          time(),
          next.jobId,
          next.id,
          token,
          JSON.stringify(next),
          delayMs === null ? '' : Math.ceil(delayMs),
        ),
      );
      return asNumber(reply) === 1;
    },
    async of(jobId) {
      const found = Object.values(await reach(client.hgetall(keys.deliveries(jobId)))).map(asDelivery);
      // A hash has no order; a job's revisions rise.
      return found.sort((one, other) => one.job.revision - other.job.revision);
    },
    onAdded(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    announce() {
      for (const listener of listeners) listener();
    },
    close() {
      listeners.clear();
    },
  };
}

/** Only what a ledger of ours wrote is ever read, so the form is known. */
function asDelivery(text: unknown): Delivery {
  return JSON.parse(String(text));
}
