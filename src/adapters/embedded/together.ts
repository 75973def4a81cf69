/** Runs pieces of work in one transaction with others. */
export interface Together {
  /**
   * Runs `work` in one transaction with all that is asked for in this turn of the event loop, in the order asked.
   * Resolves with what it gave once that is committed. Rejects with what it threw, and then nothing of it is stored, but
   * the rest is. `work` changes nothing but the database: when another one throws it is rolled back and run once more.
   */
  run<T>(work: () => T): Promise<T>;
  /** Runs what waits now. */
  runWaiting(): void;
}

interface Waiting {
  /** Does the work; the returned function tells what came of it. */
  run(): () => void;
  reject(error: unknown): void;
}

/**
 * `transact` runs its work in a transaction, and rolls back when it throws. A transaction costs more than most of what is
 * done in it: each writes every page that it touched, and what is asked for together touches the same pages.
 */
export function createTogether(transact: <T>(work: () => T) => T): Together {
  let waiting: Waiting[] = [];

  function runAll(works: readonly Waiting[]): void {
    let tell: readonly (() => void)[];
    try {
      tell = transact(() => works.map(work => work.run()));
    } catch (error) {
      const [only, ...others] = works;
      if (only !== undefined && others.length === 0) only.reject(error);
      else for (const work of works) runAll([work]);
      return;
    }
    for (const one of tell) one();
  }

  function runWaiting(): void {
    const works = waiting;
    waiting = [];
    if (works.length > 0) runAll(works);
  }

  return {
    run: work =>
      new Promise((resolve, reject) => {
        if (waiting.length === 0) setImmediate(runWaiting);
        waiting.push({
          run() {
            const result = work();
            return () => resolve(result);
          },
          reject,
        });
      }),
    runWaiting,
  };
}
