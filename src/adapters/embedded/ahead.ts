import type { JobRows } from './rows.ts';
import type { Steps } from './steps.ts';

/**
 * How far what is published may be ahead of the disk.
 *
 * A step of a run (`CommitKind`) is published once it is written into the file of steps, before it is flushed: after `kill -9`
 * the kernel still has what was written, so only a power cut can lose it. What a watcher saw must stay true even then: its next
 * snapshot has a higher revision and a higher number, and neither stands for two states. Three rules ensure that.
 *
 * 1. A step is published ahead of the disk only when all that was published is steps or is on the disk, when fewer than
 *    STEPS_AHEAD steps are ahead already, and when its number is at most NUMBERS_AHEAD above one that is on the disk. Otherwise
 *    it is flushed first, as every other change is, with all before it.
 * 2. So, on the disk, a job of which steps are ahead is PROCESSING: the change that made it so was flushed before it was
 *    published, and what ended that will be. No published revision of it is more than STEPS_AHEAD above its own, since each step
 *    raises that by one, and no published number more than NUMBERS_AHEAD above the highest.
 * 3. Before anything of an opened file is published or read, every PROCESSING job in it gets its latest step, a revision more
 *    than STEPS_AHEAD higher, and a number more than NUMBERS_AHEAD above the highest, and all are flushed. So watchers that continue
 *    after a lost number get the job, too.
 *
 * A file does not tell whether the power failed since it was written: a backup, or any other program that opened it, may have
 * closed it properly. So rule 3 applies at each start.
 */
export const STEPS_AHEAD = 1_000;

/** In the unit of numbers, microseconds: a second. */
export const NUMBERS_AHEAD = 1_000_000;

/**
 * Rule 3, but for the flush, with the steps that the tables lack; to be used within a transaction. Returns whether there are such
 * jobs.
 */
export function passAhead(
  rows: Pick<JobRows, 'processing' | 'update'>,
  steps: Pick<Steps, 'resumed'>,
  numbers: { next(): number; skip(count: number): void },
): boolean {
  const jobs = rows.processing();
  if (jobs.length === 0) return false;
  numbers.skip(NUMBERS_AHEAD);
  for (const job of jobs) {
    const resumed = steps.resumed(job);
    rows.update({ ...resumed, revision: resumed.revision + STEPS_AHEAD + 1 }, numbers.next(), job.revision);
  }
  return true;
}
