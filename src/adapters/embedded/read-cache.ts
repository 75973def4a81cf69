import { LRUCache } from 'lru-cache';
import type { Place } from '../../jobs/claims.ts';
import type { Job } from '../../jobs/job.ts';

/** Entries per cache: a page or two of the jobs that clients poll. */
const MAX_ENTRIES = 500;

/**
 * Answers of the ledger's file that are still valid. Only this process can write the file and it reports every write
 * here, so a cached answer is never stale. Each read method calls `read` on a miss.
 */
export interface ReadCache {
  job(id: string, read: () => Job | null): Job | null;
  /** Where a job waits. */
  place(id: string, read: () => Place): Place;
  /** How many jobs wait. */
  waiting(read: () => number): number;
  /** Call it when a waiting job was added. */
  added(): void;
  /** Call it when the job was changed or deleted. */
  changed(id: string): void;
  /** Call it when a job had a step of its run, which moves no other job. */
  stepped(job: Job): void;
  /** Call it when a transaction was rolled back. */
  clear(): void;
}

/** Starts empty. */
export function createReadCache(): ReadCache {
  const jobs = new LRUCache<string, Job>({ max: MAX_ENTRIES });
  const places = new LRUCache<string, Place>({ max: MAX_ENTRIES });
  let waiting: number | null = null;
  return {
    job(id, read) {
      const known = jobs.get(id);
      if (known !== undefined) return known;
      const job = read();
      if (job !== null) jobs.set(id, job);
      return job;
    },
    place(id, read) {
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
      // The change may have moved the queue, and with it the place of any other job.
      places.clear();
      waiting = null;
    },
    stepped(job) {
      jobs.set(job.id, job);
    },
    clear() {
      jobs.clear();
      places.clear();
      waiting = null;
    },
  };
}
