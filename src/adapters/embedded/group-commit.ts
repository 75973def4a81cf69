/** Commits pieces of work together, and flushes them together. */
export interface GroupCommit {
  /**
   * Runs `work` in one transaction with all work that is added before it, in that order: at the end of this turn of the
   * event loop, or once a sync that is in flight ends, since until then no later work can be flushed either. Resolves with
   * its result after the commit, before it is flushed; `committed` gets it first, in the order of the works. When `work` throws,
   * the promise rejects and nothing of it is stored, but the rest is. `work` may change nothing but the database, because it runs
   * a second time when other work throws. `committed` must not throw.
   */
  run<T>(work: () => T, committed?: (result: T) => unknown): Promise<T>;
  /**
   * Resolves when everything written before this call would survive a power cut, and rejects when that is not certain.
   * Calls during a sync share the next one, so the busier the disk is, the less each call costs.
   */
  flush(): Promise<void>;
  /** Runs the pending work now. */
  runPending(): void;
}

export interface GroupCommitOptions {
  /**
   * Runs its argument in a transaction, and rolls back when that throws. A transaction costs more than most work in it: it
   * writes every page that it touched, and works mostly touch the same pages.
   */
  readonly transact: <T>(work: () => T) => T;
  /** Has the disk store what was written before it was called. */
  readonly sync: () => Promise<void>;
}

interface Pending {
  /** Runs the work and returns a function that resolves its promise. */
  run(): () => void;
  reject(error: unknown): void;
}

/** Opens nothing, and has no timer that outlives the pending work. */
export function createGroupCommit({ transact, sync }: GroupCommitOptions): GroupCommit {
  let pending: Pending[] = [];
  /** The callers that the next sync is for; null: there are none. */
  let next: PromiseWithResolvers<void> | null = null;
  let state: 'idle' | 'scheduled' | 'syncing' = 'idle';

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

  function schedule(): void {
    if (state !== 'idle') return;
    state = 'scheduled';
    // What awaits the committed work goes on after each: it adds the next work, and joins the sync by calling `flush`.
    setImmediate(runPending);
    setImmediate(runPending);
    setImmediate(startSync);
  }

  function startSync(): void {
    const callers = next;
    next = null;
    if (callers === null) end();
    else {
      state = 'syncing';
      void sync().then(callers.resolve, callers.reject).finally(end);
    }
  }

  function end(): void {
    state = 'idle';
    if (pending.length > 0 || next !== null) schedule();
  }

  function run<T>(work: () => T, committed?: (result: T) => unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      pending.push({
        run() {
          const result = work();
          return () => {
            committed?.(result);
            resolve(result);
          };
        },
        reject,
      });
      schedule();
    });
  }

  return {
    run,
    flush() {
      next ??= Promise.withResolvers();
      schedule();
      return next.promise;
    },
    runPending,
  };
}
