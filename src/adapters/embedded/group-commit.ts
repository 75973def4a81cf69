/** Commits pieces of work together. */
export interface GroupCommit {
  /**
   * Runs `work` in one transaction with all work that is added in the same turn of the event loop, in that order.
   * Resolves with its result after the commit. When `work` throws, the promise rejects and nothing of it is stored,
   * but the rest is. `work` may change nothing but the database, because it runs a second time when other work throws.
   */
  run<T>(work: () => T): Promise<T>;
  /** Runs the pending work now. */
  runPending(): void;
}

interface Pending {
  /** Runs the work and returns a function that resolves its promise. */
  run(): () => void;
  reject(error: unknown): void;
}

/**
 * `transact` runs its argument in a transaction and rolls back when that throws. A transaction costs more than most
 * work in it: it writes every page that it touched, and work of one turn mostly touches the same pages.
 */
export function createGroupCommit(transact: <T>(work: () => T) => T): GroupCommit {
  let pending: Pending[] = [];

  function runAll(works: readonly Pending[]): void {
    let resolves: readonly (() => void)[];
    try {
      resolves = transact(() => works.map(work => work.run()));
    } catch (error) {
      const [only, ...others] = works;
      if (only !== undefined && others.length === 0) only.reject(error);
      else for (const work of works) runAll([work]);
      return;
    }
    for (const resolve of resolves) resolve();
  }

  function runPending(): void {
    const works = pending;
    pending = [];
    if (works.length > 0) runAll(works);
  }

  return {
    run: work =>
      new Promise((resolve, reject) => {
        if (pending.length === 0) setImmediate(runPending);
        pending.push({
          run() {
            const result = work();
            return () => resolve(result);
          },
          reject,
        });
      }),
    runPending,
  };
}

/**
 * Returns a function that resolves when everything written before its call would survive a power cut, and rejects
 * when that is not certain. `sync` flushes what was written before it was called. Calls during a flush share the next
 * one, so the busier the disk is, the less each call costs.
 */
export function createFlush(sync: () => Promise<void>): () => Promise<void> {
  let current: Promise<void> | null = null;
  let next: Promise<void> | null = null;

  async function flushAfter(previous: Promise<void> | null): Promise<void> {
    // Its own callers get the error.
    await previous?.catch(() => undefined);
    current = next;
    next = null;
    await sync();
  }

  return () => {
    next ??= flushAfter(current);
    return next;
  };
}
