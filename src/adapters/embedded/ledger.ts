import { closeSync, fdatasync, fdatasyncSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { createListeners } from '../../concurrency/listeners.ts';
import { StoreUnavailable } from '../../jobs/errors.ts';
import { isWaiting, type Job } from '../../jobs/job.ts';
import type { Clock, Durations, JobPage, Ledger, Secrets } from '../../jobs/ports.ts';
import { createEmbeddedAgreements } from './agreements.ts';
import { passAhead } from './ahead.ts';
import { createBatchTables } from './batches.ts';
import { createCallerTable } from './callers.ts';
import { createClaims } from './claims.ts';
import { createCommits } from './commits.ts';
import { type CopyDatabase, copyDatabase, openDatabase } from './database.ts';
import { createEmbeddedDurations } from './durations.ts';
import { createEmbeddedEngines } from './engines.ts';
import { createGroupCommit } from './group-commit.ts';
import { createLaneTable } from './lanes.ts';
import { listJobs, totalOfJobs } from './lists.ts';
import type { EmbeddedFeed } from './live.ts';
import type { MoveEvent } from './migrations.ts';
import { createNumbers } from './numbers.ts';
import { createEmbeddedOutbox } from './outbox.ts';
import { createQueue } from './queue.ts';
import { createReadCache } from './read-cache.ts';
import { createJobRows } from './rows.ts';
import { createEmbeddedSecrets } from './secrets.ts';
import { createEmbeddedSmallArtifacts, type SmallArtifacts } from './small-artifacts.ts';
import { openSteps } from './steps.ts';
import { createSubmits } from './submits.ts';
import { createUsageTable } from './usage.ts';

export interface EmbeddedLedgerOptions {
  /** The SQLite file; its folder is created when it is missing. */
  readonly path: string;
  readonly feed: EmbeddedFeed;
  readonly now: Clock;
  /** Has the disk store what was written to a file. Unset: `fdatasync`. */
  readonly sync?: ((file: number) => Promise<void>) | undefined;
  /** The same, done when it returns. Unset: `fdatasyncSync`. */
  readonly syncNow?: ((file: number) => void) | undefined;
  /** Called while a file of an older version is moved forward, as `migrate` says. */
  readonly onMove?: ((event: MoveEvent) => void) | undefined;
}

/** The ledger, with what else is in its file. */
export interface EmbeddedLedger extends Ledger {
  /** Copies the SQLite file, in the state that it has at the end, while it is used. */
  readonly copy: CopyDatabase;
  readonly durations: Durations;
  readonly secrets: Secrets;
  readonly smallArtifacts: SmallArtifacts;
}

/**
 * The ledger of a gateway that runs alone: one SQLite file in WAL mode, held exclusively by this process. A commit
 * resolves once it is flushed, so it survives `kill -9` and a power cut; a step of a run survives `kill -9`, and is lost by a
 * power cut only with others of the last second (`passAhead`). SQLite would flush within each transaction and
 * block the process meanwhile (`synchronous` FULL, https://sqlite.org/pragma.html#pragma_synchronous). Instead we flush
 * its write-ahead log ourselves, in another thread and once for many commits. When that fails, the calls reject with
 * `StoreUnavailable`: what they changed may survive or not, and is published with the next flush that succeeds.
 *
 * Moves the tables of an older version forward. Throws as `openDatabase`, and when the disk cannot be flushed.
 */
export function openEmbeddedLedger({
  path,
  feed,
  now,
  sync = promisify(fdatasync),
  syncNow = fdatasyncSync,
  onMove,
}: EmbeddedLedgerOptions): EmbeddedLedger {
  mkdirSync(dirname(path), { recursive: true });
  const db = openDatabase(path, { update: true, onMove });

  const waitingListeners = createListeners<[number]>();
  /** Callers that were at their limit when lanes asked for jobs last: when one of their jobs leaves its lane, ask again. */
  const atLimit = new Set<string>();
  const outbox = createEmbeddedOutbox(db, now);
  // SQLite keeps this file while the database is open (https://sqlite.org/walformat.html, 2.1) and does not lock it.
  const log = openSync(`${path}-wal`, 'r+');
  const group = createGroupCommit({
    transact,
    async sync() {
      try {
        storeSteps();
        await sync(log);
      } catch (error) {
        throw asAway(error);
      }
    },
  });
  const { flush } = group;
  const engines = createEmbeddedEngines(db, now, flush);
  const batches = createBatchTables(db);
  const cache = createReadCache();
  const numbers = createNumbers(db, feed, now);
  const usage = createUsageTable(db, now);
  const callers = createCallerTable(db);
  const lanes = createLaneTable(db, now);
  const queue = createQueue(db, callers);
  const rows = createJobRows(db);
  const steps = openSteps(`${path}-steps`, numbers.sequence, rows);
  const sql = {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
  };

  function transact<T>(work: () => T): T {
    sql.begin.run();
    try {
      steps.store();
      const result = work();
      sql.commit.run();
      steps.stored();
      return result;
    } catch (error) {
      // SQLite rolls back by itself after some I/O errors (https://sqlite.org/lang_transaction.html, 3).
      if (db.isTransaction) db.exec('ROLLBACK');
      cache.clear();
      throw error;
    }
  }

  if (transact(() => passAhead(rows, steps, numbers))) syncNow(log);

  const submits = createSubmits(db, { batches, usage, callers, cache, numbers, queue, read });
  const commits = createCommits({ group, numbers, lanes, rows, steps, read, queue, outbox, cache });

  const claim = createClaims({ lanes, callers, queue, rows, numbers, commit: commits.store });

  function read(id: string): Job | null {
    return steps.latest(id) ?? cache.job(id, () => rows.get(id));
  }

  /** A job that was read from the tables, at its latest step. */
  function latest(job: Job): Job {
    return steps.latest(job.id) ?? job;
  }

  function latestOf({ jobs, hasMore }: JobPage): JobPage {
    return { jobs: jobs.map(latest), hasMore };
  }

  /** Call it before anything but jobs is read from the tables that steps change. */
  function storeSteps(): void {
    if (steps.pending) transact(() => undefined);
  }

  function committed({ job, number }: { readonly job: Job; readonly number: number }): void {
    numbers.changed(job, number);
  }

  /** Call it when a job without a lane was stored, or a job was removed: it may have left a lane. */
  function outOfLane(owner: string | null): void {
    if (owner !== null && atLimit.delete(owner)) waitingListeners.call(1);
  }

  /** The owner of the removed job; undefined: there is no such job. */
  function remove(id: string, number: number): string | null | undefined {
    const removed = rows.remove(id);
    if (removed === null) return undefined;
    if (removed.batch !== null) batches.removeEmpty(removed.batch);
    numbers.remember(id, removed.owner, number);
    cache.changed(id);
    return removed.owner;
  }

  return {
    async submit(job, submitOptions) {
      const { result, number } = await group.run(
        numbers.give(n => submits.job(job, n, submitOptions)),
        done => done.result.kind === 'stored' && numbers.changed(job, done.number),
      );
      // Also for a repeated job: its first submit may not be flushed yet.
      await flush();
      numbers.flushed(number);
      if (result.kind === 'stored') waitingListeners.call(1);
      return result;
    },
    async findRepeated(owner, idempotency) {
      return submits.repeatedJob(owner ?? '', idempotency);
    },
    async get(id) {
      return read(id);
    },
    async getMany(ids) {
      return rows.getMany(ids).map(job => job && latest(job));
    },
    async list(query) {
      return latestOf(await listJobs(db, query));
    },
    total: async filter => totalOfJobs(db, filter),
    async changes(query) {
      storeSteps();
      return numbers.changes(query);
    },
    async commit(next, fromRevision, lease, deliveries = [], kind = 'change') {
      if (kind === 'step' && deliveries.length === 0) return commits.step(next, fromRevision, lease);
      const result = await commits.change(next, fromRevision, lease, deliveries);
      if (result !== 'ok') return result;
      if (deliveries.length > 0) outbox.announce();
      if (isWaiting(next)) waitingListeners.call(0);
      if (next.lane === null) outOfLane(next.owner);
      return result;
    },
    async remove(id) {
      const { result: owner, number } = await group.run(
        numbers.give(n => remove(id, n)),
        done => done.result !== undefined && numbers.removed(id, done.result, done.number),
      );
      if (owner === undefined) return false;
      queue.left(id);
      await flush();
      numbers.flushed(number);
      outOfLane(owner);
      return true;
    },
    async waiting(limit) {
      return queue.first(limit);
    },
    async waitingAmong(ids) {
      return queue.among(ids);
    },
    async place(job, running = {}) {
      if (!isWaiting(job)) return null;
      return cache.place(job.id, () => queue.place(job, running));
    },
    async count() {
      return { waiting: cache.waiting(queue.size), running: lanes.busy() };
    },
    async limited(running) {
      return callers.limited(running);
    },
    async usage(owner) {
      return {
        waiting: submits.turns(owner),
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
      const {
        claimed,
        passed,
        atLimit: reached,
        rest,
      } = await group.run(
        () => claim(request),
        done => done.claimed.forEach(committed),
      );
      for (const owner of reached) atLimit.add(owner);
      queue.passedOver(passed, request.at);
      for (const { job } of claimed) queue.left(job.id);
      const last = claimed.at(-1);
      if (last !== undefined) {
        await flush();
        numbers.flushed(last.number);
      }
      return { claimed, ...rest };
    },
    async keepLanes(held, wanted, ttlMs) {
      return transact(() => lanes.keep(held, wanted, ttlMs));
    },
    async releaseLane(lease) {
      lanes.release(lease);
    },
    async inLanes(prefix) {
      return lanes.jobs(prefix).map(latest);
    },
    async idleElsewhere() {
      return [];
    },
    async stranded(graceMs) {
      return lanes.stranded(graceMs).map(latest);
    },
    async overdue(createdBefore, limit) {
      return queue.overdue(createdBefore, limit);
    },
    async expired(at, limit) {
      return rows.expired(at, limit);
    },
    onWaiting: waitingListeners.add,
    batches: {
      async submit(batch, jobs, submitOptions) {
        const { result, changes } = await group.run(
          () => submits.batch(batch, jobs, submitOptions),
          done => done.changes.forEach(committed),
        );
        await flush();
        const last = changes.at(-1);
        if (last === undefined) return result;
        numbers.flushed(last.number);
        waitingListeners.call(changes.length);
        return result;
      },
      async findRepeated(owner, idempotency) {
        storeSteps();
        return submits.repeatedBatch(owner ?? '', idempotency);
      },
      async read(id) {
        storeSteps();
        return batches.read(id);
      },
      async jobs(query) {
        return latestOf(batches.jobs(query));
      },
    },
    outbox,
    engines,
    agreements: createEmbeddedAgreements(db, now, flush),
    async copy(target, onProgress) {
      storeSteps();
      await copyDatabase(db, target, onProgress);
    },
    durations: createEmbeddedDurations(db, now),
    secrets: createEmbeddedSecrets(db),
    smallArtifacts: createEmbeddedSmallArtifacts(db, group, now),
    async close() {
      group.runPending();
      waitingListeners.clear();
      outbox.close();
      // The callers of the pending commits get the error.
      await flush().catch(() => undefined);
      closeSync(log);
      steps.close();
      db.close();
    },
  };
}

/** An error of the disk as `StoreUnavailable`, whether of a flush or of SQLite. */
function asAway(error: unknown): unknown {
  if (!(error instanceof Error && 'code' in error)) return error;
  return new StoreUnavailable(`The job file cannot be flushed: ${error.message}`, String(error.code));
}
