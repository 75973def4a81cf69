import { randomUUID } from 'node:crypto';
import { createListeners } from '../../concurrency/listeners.ts';
import { isWaiting, type Job, queueScore } from '../../jobs/job.ts';
import { tagsOf } from '../../jobs/labels.ts';
import { LIMITS, workOf } from '../../jobs/limits.ts';
import type { Change, Clock, CommitResult, Ledger, SubmitResult } from '../../jobs/ports.ts';
import { columnsOf, encodeState } from '../record.ts';
import { createRedisAgreements } from './agreements.ts';
import { createRedisBatches, keyField, ownerSuffix } from './batches.ts';
import type { Client } from './client.ts';
import { createRedisEngines, type RedisEngines } from './engines.ts';
import type { Keys } from './keys.ts';
import { createRedisLanes } from './lanes.ts';
import { createRedisLists } from './lists.ts';
import { createRedisOutbox } from './outbox.ts';
import { asJob, asJobs, asList, asNumber, asPresentJobs, reach, unexpected } from './replies.ts';

export interface RedisLedgerOptions {
  readonly client: Client;
  readonly keys: Keys;
  /** Null uses the clock of Redis, so that gateways with different clocks agree on leases. */
  readonly now: Clock | null;
  /** Closes the connections. */
  close(): Promise<void>;
}

/** The ledger, with what the subscriber needs. */
export interface RedisLedger extends Ledger {
  readonly engines: RedisEngines;
  /** The channel on which arrivals are published to this process. */
  readonly wakeChannel: string;
  /** Jobs have arrived, so many or an unknown number (0): calls the listeners for waiting jobs. */
  arrived(count: number): void;
}

/** Arguments of one call, of two for each caller: Lua unpacks no more than some thousands. */
const PAIRS = 2_000;

const COMMIT_RESULTS: readonly CommitResult[] = ['ok', 'stale', 'gone', 'fenced'];

/**
 * The ledger that gateways share. Each change is one script that checks, writes, updates the indices and announces the
 * change, all or nothing. While Redis is unreachable every call rejects with `StoreUnavailable` within a few seconds. A
 * stored change survives a crash of Redis as far as its append-only file does.
 */
export function createRedisLedger({ client, keys, now, close }: RedisLedgerOptions): RedisLedger {
  const { prefix } = keys;
  const outbox = createRedisOutbox({ client, keys, now });
  const engines = createRedisEngines(client, keys, now);
  const waitingListeners = createListeners<[number]>();
  const gateway = randomUUID();
  const batches = createRedisBatches({ client, keys, now });
  const time = (): string => (now === null ? '' : String(now()));

  async function readRange(set: string, highest: string, limit: number): Promise<Job[]> {
    if (limit <= 0) return [];
    return asPresentJobs(await reach(client.qeReadRange(set, prefix, highest, limit)));
  }

  return {
    ...createRedisLists(client, keys),
    ...createRedisLanes({ client, keys, now, gateway }),
    async submit(job, { maxQueue, idempotency, limits, policy }) {
      const reply = await reach(
        client.qeSubmit(
          keys.record(job.id),
          prefix,
          job.id,
          maxQueue,
          idempotency === null ? '' : keyField(job.owner, idempotency),
          idempotency?.fingerprint ?? '',
          ownerSuffix(job.owner),
          job.createdAt,
          queueScore(job),
          ...columns(job),
          encodeState(job),
          JSON.stringify(job.request),
          job.share ?? '',
          tagsOf(job.request).join(' '),
          time(),
          workOf(job.request),
          limits?.waiting ?? '',
          limits?.workPerDay ?? '',
          policy ?? '',
        ),
      );
      const result = asSubmitResult(asList(reply));
      if (result === null) throw new Error(`A job with the id ${job.id} exists already`);
      return result;
    },
    async findRepeated(owner, idempotency) {
      const field = keyField(owner, idempotency);
      const reply = await reach(
        client.qeFindRepeated(`${prefix}:keys`, prefix, field, idempotency.fingerprint),
      );
      return asSubmitResult(asList(reply));
    },
    async get(id) {
      const [state, request] = await reach(client.hmget(keys.record(id), 'state', 'request'));
      return asJob(state, request);
    },
    async getMany(ids) {
      if (ids.length === 0) return [];
      return asJobs(await reach(client.qeReadMany(keys.queue, prefix, ...ids)));
    },
    async changes({ owner, after, limit }) {
      const reply = await reach(
        client.qeReadChanges(keys.identity, prefix, ownerSuffix(owner), after, limit),
      );
      const [sequence, newest, forgotten, ...entries] = asList(reply);
      const changes: Change[] = [];
      for (let n = 0; n < entries.length; n += 4) {
        const [id, number, state, request] = entries.slice(n, n + 4);
        changes.push({ jobId: String(id), number: Number(number), job: asJob(state, request) });
      }
      return {
        sequence: String(sequence),
        newest: Number(newest),
        forgotten: Number(forgotten),
        changes,
      };
    },
    async commit(next, fromRevision, lease, deliveries = []) {
      const reply = await reach(
        client.qeCommit(
          keys.record(next.id),
          prefix,
          next.id,
          fromRevision,
          lease?.lane ?? '',
          lease?.token ?? '',
          ...columns(next),
          encodeState(next),
          time(),
          ...countedColumns(next),
          ...deliveries.flatMap(delivery => [delivery.id, JSON.stringify(delivery)]),
        ),
      );
      const result = COMMIT_RESULTS.find(known => known === reply);
      if (result === undefined) throw unexpected(reply);
      if (result === 'ok' && deliveries.length > 0) outbox.announce();
      return result;
    },
    async remove(id) {
      return asNumber(await reach(client.qeRemove(keys.record(id), prefix, id))) === 1;
    },
    waiting: limit => readRange(keys.queue, '+inf', limit),
    async waitingAmong(ids) {
      if (ids.length === 0) return [];
      return asPresentJobs(await reach(client.qeReadWaiting(keys.queue, prefix, ...ids)));
    },
    async place(job, running = {}) {
      if (!isWaiting(job)) return null;
      if (Object.keys(running).length === 0) {
        const ahead = await reach(client.zrank(keys.queue, job.id));
        if (ahead !== null) return { ahead, limited: null };
      }
      const limits = JSON.stringify(running);
      const call = client.qeReadPlace(keys.queue, prefix, job.id, ownerSuffix(job.owner), limits);
      const [ahead, own, limit] = asList(await reach(call));
      if (ahead === undefined) return null;
      return {
        ahead: asNumber(ahead),
        limited: limit === '' ? null : { limit: asNumber(limit), ahead: asNumber(own) },
      };
    },
    async count() {
      const [queued, running] = asList(await reach(client.qeCountJobs(keys.since, prefix)));
      return { waiting: asNumber(queued), running: asNumber(running) };
    },
    async limited(running) {
      if (Object.keys(running).length === 0) return 0;
      const limits = JSON.stringify(running);
      return asNumber(await reach(client.qeCountLimited(`${prefix}:turns`, prefix, limits)));
    },
    async usage(owner) {
      const reply = asList(await reach(client.qeReadUsage(`${prefix}:turns`, prefix, time(), owner)));
      const [waiting = 0, running = 0, work = 0] = reply.map(asNumber);
      return { waiting, running, work };
    },
    async setPolicies(policies) {
      const pairs = [...policies].flatMap(([owner, policy]) => [ownerSuffix(owner), policy ?? '']);
      for (let n = 0; n === 0 || n < pairs.length; n += PAIRS) {
        await reach(client.qeSetPolicies(keys.queue, prefix, ...pairs.slice(n, n + PAIRS)));
      }
    },
    overdue: (createdBefore, limit) => readRange(keys.since, `(${createdBefore}`, limit),
    expired: (at, limit) => readRange(keys.expiry, String(at), limit),
    onWaiting: waitingListeners.add,
    wakeChannel: keys.wake(gateway),
    arrived: waitingListeners.call,
    batches,
    outbox,
    engines,
    agreements: createRedisAgreements(client, keys, now),
    async close() {
      waitingListeners.clear();
      engines.close();
      outbox.close();
      await close();
    },
  };
}

/** The columns that change, in the order of the scripts' arguments. */
function columns(job: Job): (string | number)[] {
  const { revision, status, waiting, lane, expiresAt } = columnsOf(job);
  return [revision, status, waiting, lane ?? '', expiresAt ?? ''];
}

/** What a batch counts of its jobs; nothing of other jobs, whose commits stay as short as they are. */
function countedColumns(job: Job): (string | number)[] {
  if (job.batch === null) return ['', ''];
  const { reached, startedAt } = columnsOf(job);
  return [reached, startedAt ?? ''];
}

/** Null for an empty reply (the key is unused) and for an id that is taken. */
function asSubmitResult([kind, detail, request]: readonly unknown[]): SubmitResult | null {
  switch (kind) {
    case 'stored':
    case 'idempotency-conflict':
      return { kind };
    case 'queue-full':
      return { kind, waiting: asNumber(detail) };
    case 'over-limit': {
      const limit = LIMITS.find(name => name === detail);
      if (limit === undefined) throw unexpected(detail);
      return { kind, limit, used: asNumber(request) };
    }
    case 'repeated': {
      const job = asJob(detail, request);
      return job === null ? null : { kind, job };
    }
    default:
      return null;
  }
}
