import type { DatabaseSync } from 'node:sqlite';
import type { NewBatch } from '../../jobs/batches/batch.ts';
import { type Job, queueScore, TURN_MS } from '../../jobs/job.ts';
import { tagsOf } from '../../jobs/labels.ts';
import { exceeded, workOf } from '../../jobs/limits.ts';
import type { BatchSubmitResult, Idempotency, SubmitOptions, SubmitResult } from '../../jobs/ports.ts';
import { columnsOf, encodeState } from '../record.ts';
import type { BatchTables } from './batches.ts';
import type { CallerTable } from './callers.ts';
import type { Numbers } from './numbers.ts';
import type { Queue } from './queue.ts';
import type { ReadCache } from './read-cache.ts';
import type { UsageTable } from './usage.ts';

/** Submits of jobs and batches, each to be used within a transaction, and what was submitted before. */
export interface Submits {
  /** Stores a job, whose change has the number. */
  job(job: Job, number: number, options: SubmitOptions): SubmitResult;
  /** Stores a batch with all of its jobs, or nothing: then there are no changes. */
  batch(
    batch: NewBatch,
    jobs: readonly Job[],
    options: SubmitOptions,
  ): { result: BatchSubmitResult; changes: readonly JobChange[] };
  /** What a submit with a key that was used before results in; null: it was not. */
  repeatedJob(owner: string, idempotency: Idempotency): SubmitResult | null;
  repeatedBatch(owner: string, idempotency: Idempotency): BatchSubmitResult | null;
  /** How many jobs of a share wait or begin; none where there is no share. */
  turns(share: string | null): number;
}

/** A job that was stored, with the number of that change. */
interface JobChange {
  readonly job: Job;
  readonly number: number;
}

export function createSubmits(
  db: DatabaseSync,
  {
    batches,
    usage,
    callers,
    cache,
    numbers,
    queue,
    read,
  }: {
    readonly batches: BatchTables;
    readonly usage: UsageTable;
    readonly callers: CallerTable;
    readonly cache: ReadCache;
    readonly numbers: Numbers;
    readonly queue: Queue;
    /** Reads a job. */
    readonly read: (id: string) => Job | null;
  },
): Submits {
  const sql = {
    insert: db.prepare(
      `INSERT INTO jobs (id, owner, share, revision, status, waiting, score, lane, created_at, expires_at, request, state, number, batch_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    insertTag: db.prepare('INSERT INTO tags (tag, owner, created_at, job_id) VALUES (?, ?, ?, ?)'),
    insertKey: db.prepare('INSERT INTO idempotency (owner, key, fingerprint, job_id) VALUES (?, ?, ?, ?)'),
    findKey: db.prepare('SELECT fingerprint, job_id FROM idempotency WHERE owner = ? AND key = ?'),
    turns: db.prepare(`SELECT count(*) AS n FROM jobs WHERE status = 'QUEUED' AND share = ?`),
  };

  function repeatedJob(owner: string, { key, fingerprint }: Idempotency): SubmitResult | null {
    const known = sql.findKey.get(owner, key);
    if (known === undefined)
      return batches.keyOf(owner, key) === null ? null : { kind: 'idempotency-conflict' };
    if (known.fingerprint !== fingerprint) return { kind: 'idempotency-conflict' };
    const job = read(String(known.job_id));
    return job === null ? null : { kind: 'repeated', job };
  }

  /** How many jobs of the share wait or begin. */
  function turnsOf(share: string | null): number {
    return share === null ? 0 : Number(sql.turns.get(share)?.n ?? 0);
  }

  /** Adds the work of new jobs of one caller to what it has used, unless that exceeds its limits. */
  function count(
    jobs: readonly Job[],
    turns: number,
    limits: SubmitOptions['limits'],
  ): Extract<SubmitResult, { kind: 'over-limit' }> | null {
    const owner = jobs[0]?.owner ?? null;
    const work = jobs.reduce((sum, { request }) => sum + workOf(request), 0);
    if (limits != null) {
      const used = { waiting: turns, work: usage.work(owner ?? '') };
      const limit = exceeded(limits, used, { jobs: jobs.length, work });
      if (limit !== null) {
        return { kind: 'over-limit', limit, used: limit === 'WAITING_JOBS' ? used.waiting : used.work };
      }
    }
    if (owner !== null) usage.add(owner, work);
    return null;
  }

  function insert(job: Job, number: number, turns: number): void {
    const c = columnsOf(job);
    sql.insert.run(
      job.id,
      job.owner,
      job.share,
      c.revision,
      c.status,
      c.waiting,
      queueScore(job) + turns * TURN_MS,
      c.lane,
      job.createdAt,
      c.expiresAt,
      JSON.stringify(job.request),
      encodeState(job),
      number,
      job.batch?.id ?? null,
    );
    for (const tag of tagsOf(job.request)) sql.insertTag.run(tag, job.owner, job.createdAt, job.id);
    cache.added();
  }

  function submitJob(
    job: Job,
    number: number,
    { maxQueue, idempotency, limits, policy }: SubmitOptions,
  ): SubmitResult {
    const owner = job.owner ?? '';
    const repeated = idempotency === null ? null : repeatedJob(owner, idempotency);
    if (repeated !== null) return repeated;
    const waiting = cache.waiting(queue.size);
    if (waiting >= maxQueue) return { kind: 'queue-full', waiting };
    const turns = turnsOf(job.share);
    const over = count([job], turns, limits);
    if (over !== null) return over;
    insert(job, number, turns);
    if (job.owner !== null) callers.setPolicy(job.owner, policy ?? null);
    if (idempotency !== null) sql.insertKey.run(owner, idempotency.key, idempotency.fingerprint, job.id);
    return { kind: 'stored' };
  }

  function repeatedBatch(owner: string, { key, fingerprint }: Idempotency): BatchSubmitResult | null {
    const known = batches.keyOf(owner, key);
    if (known === null)
      return sql.findKey.get(owner, key) === undefined ? null : { kind: 'idempotency-conflict' };
    if (known.fingerprint !== fingerprint) return { kind: 'idempotency-conflict' };
    const batch = batches.read(known.id);
    return batch === null ? null : { kind: 'repeated', batch };
  }

  function submitBatch(
    batch: NewBatch,
    jobs: readonly Job[],
    { maxQueue, idempotency, limits, policy }: SubmitOptions,
  ): { result: BatchSubmitResult; changes: readonly JobChange[] } {
    const repeated = idempotency === null ? null : repeatedBatch(batch.owner ?? '', idempotency);
    if (repeated !== null) return { result: repeated, changes: [] };
    const waiting = cache.waiting(queue.size);
    if (waiting + jobs.length > maxQueue) return { result: { kind: 'queue-full', waiting }, changes: [] };
    const turns = turnsOf(jobs[0]?.share ?? null);
    const over = count(jobs, turns, limits);
    if (over !== null) return { result: over, changes: [] };
    batches.insert(batch, idempotency);
    if (batch.owner !== null) callers.setPolicy(batch.owner, policy ?? null);
    const changes = jobs.map((job, index) => {
      const number = numbers.next();
      insert(job, number, job.share === null ? 0 : turns + index);
      return { job, number };
    });
    return { result: { kind: 'stored' }, changes };
  }

  return { job: submitJob, batch: submitBatch, repeatedJob, repeatedBatch, turns: turnsOf };
}
