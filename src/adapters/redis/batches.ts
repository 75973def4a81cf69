import { type Batch, noCounts } from '../../jobs/batches/batch.ts';
import { JOB_STATUSES, queueScore } from '../../jobs/job.ts';
import { tagsOf } from '../../jobs/labels.ts';
import { LIMITS, workOf } from '../../jobs/limits.ts';
import type { Batches, BatchSubmitResult, Clock, Idempotency } from '../../jobs/ports.ts';
import { columnsOf, encodeState } from '../record.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber, asPresentJobs, reach, unexpected } from './replies.ts';

/** As the names of lists and channels of one caller end; empty for those of all callers. */
export function ownerSuffix(owner: string | null): string {
  return owner === null ? '' : `:${owner}`;
}

/** JSON keeps owner and key apart, whatever characters they contain. */
export function keyField(owner: string | null, { key }: Idempotency): string {
  return JSON.stringify([owner ?? '', key]);
}

export interface RedisBatchesOptions {
  readonly client: Client;
  readonly keys: Keys;
  /** Null uses the clock of Redis. */
  readonly now: Clock | null;
}

/** The batches of the ledger in Redis. */
export function createRedisBatches({ client, keys, now }: RedisBatchesOptions): Batches {
  const { prefix } = keys;
  return {
    async submit(batch, jobs, { maxQueue, idempotency, limits, policy }) {
      const [first] = jobs;
      if (first === undefined) throw new Error('A batch has at least one job');
      const { revision, status } = columnsOf(first);
      const reply = await reach(
        client.qeSubmitBatch(
          keys.batch(batch.id),
          prefix,
          batch.id,
          maxQueue,
          idempotency === null ? '' : keyField(batch.owner, idempotency),
          idempotency?.fingerprint ?? '',
          ownerSuffix(batch.owner),
          batch.createdAt,
          first.share ?? '',
          revision,
          status,
          now === null ? '' : now(),
          jobs.reduce((sum, { request }) => sum + workOf(request), 0),
          limits?.waiting ?? '',
          limits?.workPerDay ?? '',
          policy ?? '',
          ...jobs.flatMap(job => [
            job.id,
            queueScore(job),
            encodeState(job),
            JSON.stringify(job.request),
            tagsOf(job.request).join(' '),
          ]),
        ),
      );
      const result = asSubmitResult(asList(reply));
      if (result === null) throw new Error(`The batch ${batch.id} or a job of it exists already`);
      return result;
    },
    async findRepeated(owner, idempotency) {
      const field = keyField(owner, idempotency);
      const reply = await reach(
        client.qeFindRepeatedBatch(`${prefix}:keys`, prefix, field, idempotency.fingerprint),
      );
      return asSubmitResult(asList(reply));
    },
    async read(id) {
      const reply = await reach(client.qeReadBatch(keys.batch(id), prefix, id));
      return reply === null ? null : asBatch(asList(reply));
    },
    async jobs({ batch, statuses, after, before, first, last }) {
      const size = first ?? last;
      const only = statuses === null ? '' : ` ${[...new Set(statuses)].join(' ')} `;
      const range = [after == null ? '-' : `(${after.id}`, before == null ? '+' : `(${before.id}`];
      const end = last === undefined ? 'first' : 'last';
      const reply = client.qeListBatch(keys.batchJobs(batch), prefix, size + 1, end, ...range, only);
      const found = asPresentJobs(await reach(reply));
      const jobs = found.slice(0, size);
      return { jobs: last === undefined ? jobs : jobs.reverse(), hasMore: found.length > size };
    },
  };
}

/** Null for an empty reply (the key is unused) and for an id that is taken. */
function asSubmitResult([kind, ...details]: readonly unknown[]): BatchSubmitResult | null {
  switch (kind) {
    case 'stored':
    case 'idempotency-conflict':
      return { kind };
    case 'queue-full':
      return { kind, waiting: asNumber(details[0]) };
    case 'over-limit': {
      const [limit, used] = [LIMITS.find(name => name === details[0]), details[1]];
      if (limit === undefined) throw unexpected(details[0]);
      return { kind, limit, used: asNumber(used) };
    }
    case 'repeated':
      return { kind, batch: asBatch(details) };
    default:
      return null;
  }
}

function asBatch(reply: readonly unknown[]): Batch {
  const [id, owner, createdAt, total, reached, startedAt, ...pairs] = reply;
  if (typeof id !== 'string' || typeof owner !== 'string') throw unexpected(reply);
  const counts = noCounts();
  for (let n = 0; n < pairs.length; n += 2) {
    const status = JOB_STATUSES.find(name => name === pairs[n]);
    if (status === undefined) throw unexpected(pairs[n]);
    counts[status] = asNumber(pairs[n + 1]);
  }
  return {
    id,
    owner: owner === '' ? null : owner.slice(1),
    createdAt: Number(createdAt),
    total: Number(total),
    counts,
    reached: Number(reached),
    startedAt: startedAt === '' ? null : Number(startedAt),
  };
}
