/**
 * Runs `work` on each item, on at most `limit` at once, in their order. Begins no more once one has failed or `goesOn` is false
 * of a result; resolves when all that began have ended, with their results in order and `undefined` for those that did not
 * begin. Rejects with the first error, also not before.
 */
export async function mapAtMost<T, R>(
  limit: number,
  items: readonly T[],
  work: (item: T, index: number) => Promise<R>,
  goesOn: (result: R) => boolean = () => true,
): Promise<(R | undefined)[]> {
  const results: (R | undefined)[] = items.map(() => undefined);
  const queue = items.entries();
  let stopped = false;

  async function runNext(): Promise<void> {
    for (const [index, item] of queue) {
      try {
        const result = await work(item, index);
        results[index] = result;
        if (!goesOn(result)) stopped = true;
      } catch (error) {
        stopped = true;
        throw error;
      }
      if (stopped) return;
    }
  }

  const runs = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, runNext));
  const failed = runs.find(run => run.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results;
}
