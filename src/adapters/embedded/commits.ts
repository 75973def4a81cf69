import type { Delivery } from '../../jobs/delivery.ts';
import { isWaiting, type Job } from '../../jobs/job.ts';
import type { CommitResult, Lease } from '../../jobs/ports.ts';
import type { GroupCommit } from './group-commit.ts';
import type { LaneTable } from './lanes.ts';
import type { Numbers } from './numbers.ts';
import type { EmbeddedOutbox } from './outbox.ts';
import type { Queue } from './queue.ts';
import type { ReadCache } from './read-cache.ts';
import type { JobRows } from './rows.ts';
import { isStep, type Steps } from './steps.ts';

/** Changes of stored jobs, as `Ledger.commit` says. */
export interface Commits {
  /** Stores a change, whose number is given. To be used within a transaction. */
  store(
    next: Job,
    number: number,
    fromRevision: number,
    lease: Lease | null,
    deliveries?: readonly Delivery[],
  ): CommitResult;
  /** Resolves when the change is flushed and published. */
  change(
    next: Job,
    fromRevision: number,
    lease: Lease | null,
    deliveries: readonly Delivery[],
  ): Promise<CommitResult>;
  /** Resolves when the step is written and published. It is flushed before only when it must be, as `passAhead` says. */
  step(next: Job, fromRevision: number, lease: Lease | null): Promise<CommitResult>;
}

export function createCommits({
  group,
  numbers,
  lanes,
  rows,
  steps,
  read,
  queue,
  outbox,
  cache,
}: {
  readonly group: GroupCommit;
  readonly numbers: Numbers;
  readonly lanes: LaneTable;
  readonly rows: JobRows;
  readonly steps: Steps;
  /** Reads a job. */
  readonly read: (id: string) => Job | null;
  readonly queue: Queue;
  readonly outbox: EmbeddedOutbox;
  readonly cache: ReadCache;
}): Commits {
  const store: Commits['store'] = (next, number, fromRevision, lease, deliveries = []) => {
    if (lease !== null && !lanes.isHeld(lease)) return 'fenced';
    const result = rows.update(next, number, fromRevision);
    if (result !== 'ok') return result;
    outbox.insert(deliveries);
    cache.changed(next.id);
    return 'ok';
  };

  /** Also for a stale one: the change that was faster may not be flushed yet. */
  async function flushed(result: CommitResult, number: number): Promise<CommitResult> {
    if (result === 'fenced' || result === 'gone') return result;
    await group.flush();
    numbers.flushed(number);
    return result;
  }

  const change: Commits['change'] = async (next, fromRevision, lease, deliveries) => {
    const { result, number } = await group.run(
      numbers.give(n => store(next, n, fromRevision, lease, deliveries)),
      done => {
        if (done.result !== 'ok') return;
        numbers.changed(next, done.number);
        if (!isWaiting(next)) queue.left(next.id);
      },
    );
    return flushed(result, number);
  };

  return {
    store,
    change,
    async step(next, fromRevision, lease) {
      const before = read(next.id);
      const applies = before?.revision === fromRevision && isStep(before, next);
      // A transaction finds out why.
      if (!applies || (lease !== null && !lanes.isHeld(lease))) return change(next, fromRevision, lease, []);
      const number = numbers.next();
      steps.add(next, number, fromRevision);
      cache.stepped(next);
      return numbers.stepped(next, number) ? 'ok' : flushed('ok', number);
    },
  };
}
