import { LRUCache } from 'lru-cache';
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
  /** To be called when a job that waits was added. */
  added(): void;
  /** To be called when this job was changed or deleted. */
  changed(id: string): void;
  /** To be called when what was written is rolled back. */
  undone(): void;
}

/** Makes an empty one. */
export function createReadCache(): ReadCache {
  const jobs = new LRUCache<string, Job>({ max: KEPT });
  const places = new LRUCache<string, number>({ max: KEPT });
  let waiting: number | null = null;
  return {
    job(id, read) {
      const known = jobs.get(id);
      if (known !== undefined) return known;
      const job = read();
      if (job !== null) jobs.set(id, job);
      return job;
    },
    ahead(id, read) {
      const known = places.get(id);
      if (known !== undefined) return known;
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
    undone() {
      jobs.clear();
      places.clear();
      waiting = null;
    },
  };
}
