import { isWaiting, type Job } from '../../jobs/job.ts';
import type { Clock, CommitResult, Idempotency, JobQuery, Ledger, SubmitResult } from '../../jobs/ports.ts';
import { queueScore } from '../../jobs/queue-score.ts';
import { columnsOf, encodeState } from '../record.ts';
import type { Client } from './client.ts';
import { reach } from './failure.ts';
import type { Keys } from './keys.ts';
import { createRedisOutbox } from './outbox.ts';
import { asJob, asJobs, asList, asNumber, asPresentJobs } from './replies.ts';
import type { WaitingCall } from './waiting-call.ts';

export interface RedisLedgerOptions {
  readonly client: Client;
  readonly keys: Keys;
  /** Null: leases go by Redis' own clock, so that gateways with different clocks agree. */
  readonly now: Clock | null;
  readonly waiting: WaitingCall;
  close(): Promise<void>;
}

const COMMIT_RESULTS: readonly CommitResult[] = ['ok', 'stale', 'gone', 'fenced'];

/**
 * The ledger that gateways share: each change is one script, which checks, writes, moves the job in the indices and
 * announces it, all or nothing. Every call rejects with `StoreAway` within a few seconds while Redis is out of reach.
 * What was answered outlives a crash of Redis as far as Redis keeps its append-only file.
 */
export function createRedisLedger({ client, keys, now, waiting, close }: RedisLedgerOptions): Ledger {
  const { prefix } = keys;
  const laneTokens = `${prefix}:lane-tokens`;
  const outbox = createRedisOutbox({ client, keys, now });
  const time = (): string => (now === null ? '' : String(now()));

  async function readRange(set: string, highest: string, limit: number): Promise<Job[]> {
    if (limit <= 0) return [];
    return asPresentJobs(await reach(client.qeReadRange(set, prefix, highest, limit)));
  }

  async function extendLane(lane: string, token: number, ttlMs: number): Promise<boolean> {
    return asNumber(await reach(client.qeExtendLane(laneTokens, prefix, time(), lane, token, ttlMs))) === 1;
  }

  return {
    async submit(job, { maxQueue, idempotency }) {
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
        ),
      );
      const result = asSubmitResult(asList(reply));
      if (result === null) throw new Error(`A job with the id ${job.id} is stored already`);
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
    async list(query) {
      const lists = listsOf(query);
      if (lists.length === 0) return { jobs: [], hasNextPage: false };
      const { after, first } = query;
      const from = [after?.createdAt ?? '', after?.id ?? ''];
      const reply = await reach(client.qeListJobs(keys.queue, prefix, first + 1, ...from, ...lists));
      const found = asPresentJobs(reply);
      return { jobs: found.slice(0, first), hasNextPage: found.length > first };
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
          ...deliveries.flatMap(delivery => [delivery.id, JSON.stringify(delivery)]),
        ),
      );
      const result = COMMIT_RESULTS.find(known => known === reply);
      if (result === undefined) throw new Error('Redis gave an unexpected reply to a commit');
      if (result === 'ok' && deliveries.length > 0) outbox.announce();
      return result;
    },
    async remove(id) {
      return asNumber(await reach(client.qeRemove(keys.record(id), prefix, id))) === 1;
    },
    waiting: limit => readRange(keys.queue, '+inf', limit),
    async ahead(job) {
      return isWaiting(job) ? reach(client.zrank(keys.queue, job.id)) : null;
    },
    async count() {
      const [queued, running] = asList(await reach(client.qeCountJobs(keys.queue, prefix)));
      return { waiting: asNumber(queued), running: asNumber(running) };
    },
    async acquireLane(lane, ttlMs) {
      const reply = await reach(client.qeAcquireLane(laneTokens, prefix, time(), lane, ttlMs));
      if (reply === null) return null;
      const [token, state, request] = asList(reply);
      return { lease: { lane, token: asNumber(token) }, job: asJob(state, request) };
    },
    renewLane: ({ lane, token }, ttlMs) => extendLane(lane, token, ttlMs),
    async releaseLane({ lane, token }) {
      await extendLane(lane, token, 0);
    },
    async stranded(graceMs) {
      const reply = await reach(client.qeReadStranded(`${prefix}:held`, prefix, time(), graceMs));
      return asPresentJobs(reply);
    },
    overdue: (createdBefore, limit) => readRange(keys.since, `(${createdBefore}`, limit),
    expired: (at, limit) => readRange(keys.expiry, String(at), limit),
    onWaiting: listener => waiting.listen(listener),
    outbox,
    async close() {
      outbox.close();
      await close();
    },
  };
}

/** The changing columns in the order in which the scripts take them. */
function columns(job: Job): (string | number)[] {
  const { revision, status, waiting, lane, expiresAt } = columnsOf(job);
  return [revision, status, waiting, lane ?? '', expiresAt ?? ''];
}

function ownerSuffix(owner: string | null): string {
  return owner === null ? '' : `:${owner}`;
}

/** As JSON, so that no owner and key run into one another. */
function keyField(owner: string | null, { key }: Idempotency): string {
  return JSON.stringify([owner ?? '', key]);
}

function listsOf({ owner, statuses }: JobQuery): string[] {
  const names = statuses === null ? ['*'] : [...new Set(statuses)];
  return names.map(name => name + ownerSuffix(owner));
}

/** Null for an empty answer and for an id that is taken. */
function asSubmitResult([kind, detail, request]: readonly unknown[]): SubmitResult | null {
  switch (kind) {
    case 'stored':
    case 'idempotency-conflict':
      return { kind };
    case 'queue-full':
      return { kind, waiting: asNumber(detail) };
    case 'repeated': {
      const job = asJob(detail, request);
      return job === null ? null : { kind, job };
    }
    default:
      return null;
  }
}
