import type { Job } from '../job.ts';
import type { Change } from '../ports.ts';
import { updatesCursor } from './position.ts';

/** What watchers of all jobs get: the present state of each job that changed. */
export interface JobUpdates {
  /** Continues after these updates. */
  readonly cursor: string;
  /** Whatever was sent before no longer holds: these are the newest jobs, and there may be older ones. */
  readonly reset: boolean;
  /** At most `BATCH`, each once. */
  readonly jobs: readonly Job[];
  /** The ids of jobs that were removed. */
  readonly removed: readonly string[];
}

/** Updates with the changes that they are made of. The same updates have the same object for every reader. */
export interface Batch {
  readonly changes: readonly Change[];
  /** The lowest number of the changes; infinite without any. */
  readonly first: number;
  /** Every change up to this number is in this batch or an earlier one. */
  readonly until: number;
  readonly updates: JobUpdates;
}

/** Most jobs of one message. */
export const BATCH = 100;

/** Most changes that are held for a reader: one that is further behind reads them from the store. */
const MOST_HELD = 1_000;

/** Puts changes into a batch. */
export function batchOf(sequence: string, changes: readonly Change[], until: number, reset = false): Batch {
  const numbers = changes.map(({ number }) => number);
  return {
    changes,
    first: Math.min(...numbers),
    until,
    updates: {
      cursor: updatesCursor({ sequence, number: until }),
      reset,
      jobs: changes.flatMap(({ job }) => (job === null ? [] : [job])),
      removed: changes.flatMap(({ jobId, job }) => (job === null ? [jobId] : [])),
    },
  };
}

/** Puts changes into as many batches as they need. */
export function batchesOf(sequence: string, changes: readonly Change[], until: number): readonly Batch[] {
  if (changes.length <= BATCH) return changes.length === 0 ? [] : [batchOf(sequence, changes, until)];
  const sorted = changes.toSorted((a, b) => a.number - b.number);
  const batches: Batch[] = [];
  for (let from = 0; from < sorted.length; from += BATCH) {
    const part = sorted.slice(from, from + BATCH);
    const isLast = from + BATCH >= sorted.length;
    batches.push(batchOf(sequence, part, isLast ? until : Math.min(until, part.at(-1)?.number ?? until)));
  }
  return batches;
}

/** Joins batches in their order, keeping the newest change of each job; null: that is more than may be held. */
export function joinBatches(sequence: string, batches: readonly Batch[]): readonly Batch[] | null {
  const newest = new Map<string, Change>();
  for (const { changes } of batches) for (const change of changes) newest.set(change.jobId, change);
  if (newest.size > MOST_HELD) return null;
  return batchesOf(sequence, [...newest.values()], batches.at(-1)?.until ?? 0);
}

/** What of a batch with changes comes after a number; null: nothing. The batch itself if that is all of it. */
export function batchAfter(sequence: string, batch: Batch, number: number): Batch | null {
  if (batch.first > number) return batch;
  const changes = batch.changes.filter(change => change.number > number);
  return changes.length === 0 ? null : batchOf(sequence, changes, batch.until);
}
