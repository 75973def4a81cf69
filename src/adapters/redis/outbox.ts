import { createListeners } from '../../concurrency/listeners.ts';
import type { Delivery } from '../../jobs/delivery.ts';
import type { Clock, Outbox } from '../../jobs/ports.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber, reach } from './replies.ts';

export interface RedisOutboxOptions {
  readonly client: Client;
  readonly keys: Keys;
  /** Null uses the clock of Redis. */
  readonly now: Clock | null;
}

/** The outbox that gateways share, with the methods that the ledger needs. */
export interface RedisOutbox extends Outbox {
  /** Calls the listeners. */
  announce(): void;
  close(): void;
}

/** Keeps deliveries in one hash per job, and a sorted set of those that are due or will be. */
export function createRedisOutbox({ client, keys, now }: RedisOutboxOptions): RedisOutbox {
  const listeners = createListeners();
  const time = (): string => (now === null ? '' : String(now()));

  return {
    async claim(limit, leaseMs) {
      const lease = Math.ceil(leaseMs);
      const reply = await reach(client.qeClaimDeliveries(keys.outbox, keys.prefix, time(), limit, lease));
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
      // A hash is unordered, but the revisions of a job rise.
      return found.sort((one, other) => one.job.revision - other.job.revision);
    },
    onAdded: listeners.add,
    announce: listeners.call,
    close: listeners.clear,
  };
}

/** Its form is not checked: only our own ledgers write it. */
function asDelivery(text: unknown): Delivery {
  return JSON.parse(String(text));
}
