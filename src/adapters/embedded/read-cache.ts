import type { Job } from '../../jobs/job.ts';

/** Records that are kept: a page or two of those that are asked for again and again. */
const KEPT = 500;

/**
 * What was read of the ledger's file and has not changed since. This process holds the file alone, so whoever writes is
 * here and says so: nothing kept is ever old.
 */
export interface ReadCache {
  /** The job of this id as the ledger has it, by `read` unless it is known. */
  job(id: string, read: () => Job | null): Job | null;
  /** How many jobs run before this one, by `read` unless it is known. */
  ahead(id: string, read: () => number): number;
  /** How many jobs wait, by `read` unless it is known. */
  waiting(read: () => number): number;
  /** To be called when a job that waits was added, once that is committed. */
  added(): void;
  /** To be called when this job was changed or deleted, once that is committed. */
  changed(id: string): void;
}

/** Makes an empty one. */
export function createReadCache(): ReadCache {
  // Insertion order is the order of last use.
  const jobs = new Map<string, Job>();
  const places = new Map<string, number>();
  let waiting: number | null = null;
  return {
    job(id, read) {
      const job = jobs.get(id) ?? read();
      if (job === null) return null;
      jobs.delete(id);
      jobs.set(id, job);
      const oldest = jobs.keys().next();
      if (jobs.size > KEPT && !oldest.done) jobs.delete(oldest.value);
      return job;
    },
    ahead(id, read) {
      const known = places.get(id);
      if (known !== undefined) return known;
      if (places.size >= KEPT) places.clear();
      const place = read();
      places.set(id, place);
      return place;
    },
    waiting(read) {
      waiting ??= read();
      return waiting;
    },
    added() {
      places.clear();
      if (waiting !== null) waiting += 1;
    },
    changed(id) {
      jobs.delete(id);
      // Any change may be of the queue, and then of anybody's place in it.
      places.clear();
      waiting = null;
    },
  };
}
