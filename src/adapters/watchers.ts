import {
  addTo,
  createSmallSet,
  forEachOf,
  isEmpty,
  removeFrom,
  type SmallSet,
} from '../concurrency/small-set.ts';
import type { Job } from '../jobs/job.ts';
import type { Change, UpdatesWatcher, Watcher } from '../jobs/ports.ts';

/** The watchers of this process by the job that they watch. */
export interface Watchers {
  /** Returns a function that removes the watcher; true when it was the last of its job. */
  add(jobId: string, watcher: Watcher): () => boolean;
  /** Passes a snapshot, or the deletion, to every watcher of the job. */
  notify(jobId: string, news: Job | 'gone'): void;
  /** The ids of the jobs with watchers. */
  jobs(): string[];
}

/** Starts with no watchers. A job without watchers takes no memory. */
export function createWatchers(): Watchers {
  const byJob = new Map<string, SmallSet<Watcher>>();
  return {
    add(jobId, watcher) {
      const watchers = byJob.get(jobId) ?? createSmallSet();
      byJob.set(jobId, watchers);
      addTo(watchers, watcher);
      return () => {
        removeFrom(watchers, watcher);
        return isEmpty(watchers) && byJob.get(jobId) === watchers && byJob.delete(jobId);
      };
    },
    notify(jobId, news) {
      const watchers = byJob.get(jobId);
      if (watchers === undefined) return;
      forEachOf(watchers, watcher => {
        if (news === 'gone') watcher.gone();
        else watcher.changed(news);
      });
    },
    jobs: () => [...byJob.keys()],
  };
}

/** The watchers of all jobs in this process, by the caller; null: those of every caller's jobs. */
export interface UpdateWatchers {
  /** Returns a function that removes the watcher; true when it was the last of its caller. */
  add(owner: string | null, watcher: UpdatesWatcher): () => boolean;
  /** Passes a change to the watchers of one caller, or of all: not to both. */
  notify(owner: string | null, change: Change): void;
  /** Tells every watcher that it may have missed changes. */
  missed(): void;
  owners(): (string | null)[];
}

/** Starts with no watchers. */
export function createUpdateWatchers(): UpdateWatchers {
  const byOwner = new Map<string | null, Set<UpdatesWatcher>>();
  return {
    add(owner, watcher) {
      const watchers = byOwner.get(owner) ?? new Set();
      byOwner.set(owner, watchers.add(watcher));
      return () =>
        watchers.delete(watcher) &&
        watchers.size === 0 &&
        byOwner.get(owner) === watchers &&
        byOwner.delete(owner);
    },
    notify(owner, { jobId, number, job }) {
      for (const watcher of byOwner.get(owner) ?? []) {
        if (job === null) watcher.removed(jobId, number);
        else watcher.changed(job, number);
      }
    },
    missed() {
      for (const watchers of byOwner.values()) for (const watcher of watchers) watcher.missed();
    },
    owners: () => [...byOwner.keys()],
  };
}
