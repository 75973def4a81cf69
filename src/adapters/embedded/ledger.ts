import { closeSync, fdatasync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { createListeners } from '../../concurrency/listeners.ts';
import { advance } from '../../jobs/advance.ts';
import type { NewBatch } from '../../jobs/batches/batch.ts';
import {
  assign,
  type Candidate,
  type ClaimRequest,
  candidateOf,
  claimedBy,
  lanesOf,
  NO_INABILITY,
  type Place,
  type RunningLimits,
} from '../../jobs/claims.ts';
import type { Delivery } from '../../jobs/delivery.ts';
import { isWaiting, type Job, queueScore, TURN_MS } from '../../jobs/job.ts';
import { tagsOf } from '../../jobs/labels.ts';
import { exceeded, workOf } from '../../jobs/limits.ts';
import type {
  BatchSubmitResult,
  Change,
  Clock,
  CommitResult,
  Durations,
  Idempotency,
  Lease,
  Ledger,
  Secrets,
  SubmitOptions,
  SubmitResult,
} from '../../jobs/ports.ts';
import { columnsOf, encodeState } from '../record.ts';
import { createEmbeddedAgreements } from './agreements.ts';
import { createBatchTables } from './batches.ts';
import { type CallerLimits, createCallerTable } from './callers.ts';
import { type CopyDatabase, copyDatabase, openDatabase } from './database.ts';
import { createEmbeddedDurations } from './durations.ts';
import { createEmbeddedEngines } from './engines.ts';
import { createFlush, createGroupCommit } from './group-commit.ts';
import { jobOf, listJobs, totalOfJobs } from './lists.ts';
import type { EmbeddedFeed } from './live.ts';
import { createNumbers } from './numbers.ts';
import { createEmbeddedOutbox } from './outbox.ts';
import { createReadCache } from './read-cache.ts';
import { createEmbeddedSecrets } from './secrets.ts';
import { createUsageTable } from './usage.ts';

export interface EmbeddedLedgerOptions {
  /** The SQLite file; its folder is created when it is missing. */
  readonly path: string;
  readonly feed: EmbeddedFeed;
  readonly now: Clock;
}

/** The ledger, with what else is in its file. */
export interface EmbeddedLedger extends Ledger {
  /** Copies the SQLite file, in the state that it has at the end, while it is used. */
  readonly copy: CopyDatabase;
  readonly durations: Durations;
  readonly secrets: Secrets;
  /** The version that the file had when it was opened; 0 for a new one. */
  readonly openedVersion: number;
}

/**
 * The ledger of a gateway that runs alone: one SQLite file in WAL mode, held exclusively by this process. A commit
 * resolves once it is flushed, so it survives `kill -9` and a power cut. SQLite would flush within each transaction and
 * block the process meanwhile (`synchronous` FULL, https://sqlite.org/pragma.html#pragma_synchronous). Instead we flush
 * its write-ahead log ourselves, in another thread and once for many commits.
 *
 * Moves the tables of an older version forward. Throws as `openDatabase`.
 */
export function openEmbeddedLedger({ path, feed, now }: EmbeddedLedgerOptions): EmbeddedLedger {
  mkdirSync(dirname(path), { recursive: true });
  const { db, version } = openDatabase(path, { update: true });
  // The leases belong to the process that held the file before. It is gone, since we hold the file now.
  db.exec('UPDATE lanes SET expires_at = 0');

  const waitingListeners = createListeners<[number]>();
  /** When a waiting job was first passed over. */
  const passedAt = new Map<string, number>();
  /** Callers that were at their limit when lanes asked for jobs last: when one of their jobs leaves its lane, ask again. */
  const atLimit = new Set<string>();
  const outbox = createEmbeddedOutbox(db, now);
  // SQLite keeps this file while the database is open (https://sqlite.org/walformat.html, 2.1) and does not lock it.
  const log = openSync(`${path}-wal`, 'r+');
  const sync = promisify(fdatasync);
  const flush = createFlush(() => sync(log));
  const engines = createEmbeddedEngines(db, now, flush);
  const batches = createBatchTables(db);
  const cache = createReadCache();
  const numbers = createNumbers(db, feed, now);
  const usage = createUsageTable(db, now);
  const callers = createCallerTable(db);
  const sql = {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    insert: db.prepare(
      `INSERT INTO jobs (id, owner, share, revision, status, waiting, score, lane, created_at, expires_at, request, state, number, batch_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    insertTag: db.prepare('INSERT INTO tags (tag, owner, created_at, job_id) VALUES (?, ?, ?, ?)'),
    insertKey: db.prepare('INSERT INTO idempotency (owner, key, fingerprint, job_id) VALUES (?, ?, ?, ?)'),
    findKey: db.prepare('SELECT fingerprint, job_id FROM idempotency WHERE owner = ? AND key = ?'),
    get: db.prepare('SELECT request, state FROM jobs WHERE id = ?'),
    getMany: db.prepare('SELECT request, state FROM jobs WHERE id IN (SELECT value FROM json_each(?))'),
    waitingAmong: db.prepare(
      'SELECT request, state FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND waiting = 1',
    ),
    update: db.prepare(
      `UPDATE jobs SET revision = ?, status = ?, waiting = ?, lane = ?, expires_at = ?, state = ?, number = ?,
         reached = ?, started_at = ?
       WHERE id = ? AND revision = ?`,
    ),
    exists: db.prepare('SELECT revision FROM jobs WHERE id = ?'),
    remove: db.prepare('DELETE FROM jobs WHERE id = ? RETURNING owner, batch_id'),
    waiting: db.prepare('SELECT request, state FROM jobs WHERE waiting = 1 ORDER BY score, id LIMIT ?'),
    candidates: db.prepare('SELECT request, state, score FROM jobs WHERE waiting = 1 ORDER BY score, id'),
    candidatesBesides: db.prepare(
      `SELECT request, state, score FROM jobs
       WHERE waiting = 1 AND (owner IS NULL OR owner NOT IN (SELECT value FROM json_each(?))) ORDER BY score, id`,
    ),
    ahead: db.prepare(
      `SELECT count(*) AS n, count(*) FILTER (WHERE owner = mine.o) AS own
       FROM jobs JOIN (SELECT score AS s, id AS i, owner AS o FROM jobs WHERE id = ?) AS mine
       WHERE waiting = 1 AND (score, id) < (mine.s, mine.i)
         AND (owner IS NULL OR owner IS mine.o OR owner NOT IN (SELECT value FROM json_each(?)))`,
    ),
    countQueuedOf: db.prepare(`SELECT count(*) AS n FROM jobs WHERE status = 'QUEUED' AND share = ?`),
    countWaiting: db.prepare('SELECT count(*) AS n FROM jobs WHERE waiting = 1'),
    countRunning: db.prepare('SELECT count(*) AS n FROM jobs WHERE lane IS NOT NULL'),
    lane: db.prepare('SELECT token, expires_at FROM lanes WHERE lane = ?'),
    takeLane: db.prepare(
      `INSERT INTO lanes (lane, token, expires_at) VALUES (?, 1, ?)
       ON CONFLICT (lane) DO UPDATE SET token = token + 1, expires_at = excluded.expires_at
       RETURNING token`,
    ),
    extendLane: db.prepare('UPDATE lanes SET expires_at = ? WHERE lane = ? AND token = ?'),
    inLane: db.prepare('SELECT request, state FROM jobs WHERE lane = ?'),
    inLanes: db.prepare('SELECT request, state FROM jobs WHERE lane IS NOT NULL AND substr(lane, 1, ?) = ?'),
    stranded: db.prepare(
      `SELECT request, state FROM jobs LEFT JOIN lanes USING (lane)
       WHERE lane IS NOT NULL AND coalesce(lanes.expires_at, 0) < ?`,
    ),
    overdue: db.prepare(
      'SELECT request, state FROM jobs WHERE waiting = 1 AND created_at < ? ORDER BY created_at LIMIT ?',
    ),
    expired: db.prepare('SELECT request, state FROM jobs WHERE expires_at <= ? ORDER BY expires_at LIMIT ?'),
  };

  function read(id: string): Job | null {
    const row = sql.get.get(id);
    return row ? jobOf(row) : null;
  }

  function countWaiting(): number {
    return Number(sql.countWaiting.get()?.n ?? 0);
  }

  function transact<T>(work: () => T): T {
    sql.begin.run();
    try {
      const result = work();
      sql.commit.run();
      return result;
    } catch (error) {
      // SQLite rolls back by itself after some I/O errors (https://sqlite.org/lang_transaction.html, 3).
      if (db.isTransaction) db.exec('ROLLBACK');
      cache.clear();
      throw error;
    }
  }

  const group = createGroupCommit(transact);

  function findRepeated(owner: string, { key, fingerprint }: Idempotency): SubmitResult | null {
    const known = sql.findKey.get(owner, key);
    if (known === undefined)
      return batches.keyOf(owner, key) === null ? null : { kind: 'idempotency-conflict' };
    if (known.fingerprint !== fingerprint) return { kind: 'idempotency-conflict' };
    const job = read(String(known.job_id));
    return job === null ? null : { kind: 'repeated', job };
  }

  /** How many jobs of the share wait or begin. */
  function turnsOf(share: string | null): number {
    return share === null ? 0 : Number(sql.countQueuedOf.get(share)?.n ?? 0);
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

  function submit(
    job: Job,
    number: number,
    { maxQueue, idempotency, limits, policy }: SubmitOptions,
  ): SubmitResult {
    const owner = job.owner ?? '';
    const repeated = idempotency === null ? null : findRepeated(owner, idempotency);
    if (repeated !== null) return repeated;
    const waiting = cache.waiting(countWaiting);
    if (waiting >= maxQueue) return { kind: 'queue-full', waiting };
    const turns = turnsOf(job.share);
    const over = count([job], turns, limits);
    if (over !== null) return over;
    insert(job, number, turns);
    if (job.owner !== null) callers.setPolicy(job.owner, policy ?? null);
    if (idempotency !== null) sql.insertKey.run(owner, idempotency.key, idempotency.fingerprint, job.id);
    return { kind: 'stored' };
  }

  function findRepeatedBatch(owner: string, { key, fingerprint }: Idempotency): BatchSubmitResult | null {
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
  ): { result: BatchSubmitResult; changes: readonly Change[] } {
    const repeated = idempotency === null ? null : findRepeatedBatch(batch.owner ?? '', idempotency);
    if (repeated !== null) return { result: repeated, changes: [] };
    const waiting = cache.waiting(countWaiting);
    if (waiting + jobs.length > maxQueue) return { result: { kind: 'queue-full', waiting }, changes: [] };
    const turns = turnsOf(jobs[0]?.share ?? null);
    const over = count(jobs, turns, limits);
    if (over !== null) return { result: over, changes: [] };
    batches.insert(batch, idempotency);
    if (batch.owner !== null) callers.setPolicy(batch.owner, policy ?? null);
    const changes = jobs.map((job, index) => {
      const number = numbers.next();
      insert(job, number, job.share === null ? 0 : turns + index);
      return { jobId: job.id, number, job };
    });
    return { result: { kind: 'stored' }, changes };
  }

  function commit(
    next: Job,
    number: number,
    fromRevision: number,
    lease: { lane: string; token: number } | null,
    deliveries: readonly Delivery[],
  ): CommitResult {
    if (lease !== null && sql.lane.get(lease.lane)?.token !== lease.token) return 'fenced';
    const c = columnsOf(next);
    const { changes } = sql.update.run(
      c.revision,
      c.status,
      c.waiting,
      c.lane,
      c.expiresAt,
      encodeState(next),
      number,
      c.reached,
      c.startedAt,
      next.id,
      fromRevision,
    );
    if (changes === 1) {
      outbox.insert(deliveries);
      cache.changed(next.id);
      return 'ok';
    }
    return sql.exists.get(next.id) === undefined ? 'gone' : 'stale';
  }

  function* waiting({ reached }: CallerLimits): Generator<Candidate> {
    const rows =
      reached.length === 0
        ? sql.candidates.iterate()
        : sql.candidatesBesides.iterate(JSON.stringify(reached));
    for (const row of rows) {
      const job = jobOf(row);
      yield candidateOf(job, Number(row.score), passedAt.get(job.id) ?? null);
    }
  }

  /** The jobs in the lanes of an engine. */
  function inLanes(prefix: string): Job[] {
    // `substr` counts code points.
    return sql.inLanes.all([...prefix].length, prefix).map(jobOf);
  }

  function placeOf({ id, owner }: Job, running: RunningLimits): Place {
    const limits = callers.limits(running);
    const row = sql.ahead.get(id, JSON.stringify(limits.reached));
    const limit = owner === null || limits.slots(owner) > 0 ? null : limits.of(owner);
    return {
      ahead: Number(row?.n ?? 0),
      limited: limit === null ? null : { limit, ahead: Number(row?.own ?? 0) },
    };
  }

  function claim({ lanes, idle, at, patienceMs, running = {} }: ClaimRequest) {
    const valid = lanes.filter(({ lease }) => sql.lane.get(lease.lane)?.token === lease.token);
    const able = valid.filter(({ engine }) => !inLanes(lanesOf(engine)).some(({ suspect }) => suspect));
    const choosing = able.map(lane => ({ ...lane, cannot: idle[lane.group]?.cannot ?? NO_INABILITY }));
    const limits = callers.limits(running);
    const { chosen, ...rest } = assign(choosing, waiting(limits), at, patienceMs, limits.slots);
    const claimed = chosen.flatMap(({ lane: index, job: id }) => {
      const lane = able[index];
      const before = read(id);
      if (lane === undefined || before === null) return [];
      const job = advance(before, claimedBy(lane, at));
      const number = numbers.next();
      return commit(job, number, before.revision, lane.lease, []) === 'ok'
        ? [{ lane: lane.lease.lane, before, job, number }]
        : [];
    });
    for (const owner of callers.limits(running).reached) atLimit.add(owner);
    return { claimed, result: { ...rest, blocked: able.length < valid.length } };
  }

  /** Call it when a job without a lane was stored, or a job was removed: it may have left a lane. */
  function outOfLane(owner: string | null): void {
    if (owner !== null && atLimit.delete(owner)) waitingListeners.call(1);
  }

  /** The owner of the removed job; undefined: there is no such job. */
  function remove(id: string, number: number): string | null | undefined {
    const row = sql.remove.get(id);
    if (row === undefined) return undefined;
    const owner = row.owner === null ? null : String(row.owner);
    if (row.batch_id !== null) batches.removeEmpty(String(row.batch_id));
    numbers.remember(id, owner, number);
    cache.changed(id);
    return owner;
  }

  /** Runs work that may change a job, whose change gets the number. */
  async function numbered<T>(work: (number: number) => T): Promise<{ result: T; number: number }> {
    return group.run(() => {
      const number = numbers.next();
      return { result: work(number), number };
    });
  }

  return {
    async submit(job, submitOptions) {
      const { result, number } = await numbered(n => submit(job, n, submitOptions));
      if (result.kind === 'stored') numbers.committed({ jobId: job.id, number, job }, job.owner);
      // Also for a repeated job: its first submit may not be flushed yet.
      await flush();
      numbers.flushed(number);
      if (result.kind === 'stored') waitingListeners.call(1);
      return result;
    },
    async findRepeated(owner, idempotency) {
      return findRepeated(owner ?? '', idempotency);
    },
    async get(id) {
      return cache.job(id, () => read(id));
    },
    async getMany(ids) {
      const found = new Map(
        sql.getMany
          .all(JSON.stringify(ids))
          .map(jobOf)
          .map(job => [job.id, job]),
      );
      return ids.map(id => found.get(id) ?? null);
    },
    list: query => listJobs(db, query),
    total: async filter => totalOfJobs(db, filter),
    changes: async query => numbers.changes(query),
    async commit(next, fromRevision, lease, deliveries = []) {
      const { result, number } = await numbered(n => commit(next, n, fromRevision, lease, deliveries));
      if (result !== 'ok') return result;
      numbers.committed({ jobId: next.id, number, job: next }, next.owner);
      await flush();
      feed.changed(next);
      numbers.flushed(number);
      if (deliveries.length > 0) outbox.announce();
      if (isWaiting(next)) waitingListeners.call(0);
      else passedAt.delete(next.id);
      if (next.lane === null) outOfLane(next.owner);
      return result;
    },
    async remove(id) {
      const { result: owner, number } = await numbered(n => remove(id, n));
      if (owner === undefined) return false;
      passedAt.delete(id);
      numbers.committed({ jobId: id, number, job: null }, owner);
      await flush();
      feed.gone(id);
      numbers.flushed(number);
      outOfLane(owner);
      return true;
    },
    async waiting(limit) {
      return sql.waiting.all(limit).map(jobOf);
    },
    async waitingAmong(ids) {
      return sql.waitingAmong.all(JSON.stringify(ids)).map(jobOf);
    },
    async place(job, running = {}) {
      if (!isWaiting(job)) return null;
      return cache.place(job.id, () => placeOf(job, running));
    },
    async count() {
      return {
        waiting: cache.waiting(countWaiting),
        running: Number(sql.countRunning.get()?.n ?? 0),
      };
    },
    async usage(owner) {
      return {
        waiting: Number(sql.countQueuedOf.get(owner)?.n ?? 0),
        running: callers.running(owner),
        work: usage.work(owner),
      };
    },
    async setPolicies(policies) {
      await group.run(() => {
        for (const [owner, policy] of policies) callers.setPolicy(owner, policy);
        cache.clear();
      });
      await flush();
    },
    async claim(request) {
      const { result, claimed } = await group.run(() => claim(request));
      for (const id of result.passed) passedAt.set(id, request.at);
      for (const { job, number } of claimed) {
        passedAt.delete(job.id);
        numbers.committed({ jobId: job.id, number, job }, job.owner);
      }
      if (claimed.length > 0) await flush();
      for (const { job, number } of claimed) {
        feed.changed(job);
        numbers.flushed(number);
      }
      const { againAt, more, blocked } = result;
      return { claimed, againAt, more, blocked };
    },
    async keepLanes(held, wanted, ttlMs) {
      return transact(() => {
        const until = now() + ttlMs;
        const renew = ({ lane, token }: Lease) => sql.extendLane.run(until, lane, token).changes === 1;
        const lost = held.filter(lease => !renew(lease)).map(({ lane }) => lane);
        const isFree = (lane: string): boolean => Number(sql.lane.get(lane)?.expires_at ?? 0) <= now();
        const taken = wanted.filter(isFree).map(lane => {
          const token = Number(sql.takeLane.get(lane, until)?.token);
          const left = sql.inLane.get(lane);
          return { lease: { lane, token }, job: left ? jobOf(left) : null };
        });
        return { lost, taken };
      });
    },
    async releaseLane(lease) {
      sql.extendLane.run(now(), lease.lane, lease.token);
    },
    async inLanes(prefix) {
      return inLanes(prefix);
    },
    async stranded(graceMs) {
      return sql.stranded.all(now() - graceMs).map(jobOf);
    },
    async overdue(createdBefore, limit) {
      return sql.overdue.all(createdBefore, limit).map(jobOf);
    },
    async expired(at, limit) {
      return sql.expired.all(at, limit).map(jobOf);
    },
    onWaiting: waitingListeners.add,
    batches: {
      async submit(batch, jobs, submitOptions) {
        const { result, changes } = await group.run(() => submitBatch(batch, jobs, submitOptions));
        for (const change of changes) numbers.committed(change, batch.owner);
        await flush();
        const last = changes.at(-1);
        if (last === undefined) return result;
        numbers.flushed(last.number);
        waitingListeners.call(changes.length);
        return result;
      },
      async findRepeated(owner, idempotency) {
        return findRepeatedBatch(owner ?? '', idempotency);
      },
      async read(id) {
        return batches.read(id);
      },
      async jobs(query) {
        return batches.jobs(query);
      },
    },
    outbox,
    engines,
    agreements: createEmbeddedAgreements(db, now, flush),
    copy: (target, onProgress) => copyDatabase(db, target, onProgress),
    durations: createEmbeddedDurations(db, now),
    secrets: createEmbeddedSecrets(db),
    openedVersion: version,
    async close() {
      group.runPending();
      waitingListeners.clear();
      outbox.close();
      // The callers of the pending commits get the error.
      await flush().catch(() => undefined);
      closeSync(log);
      db.close();
    },
  };
}
