import {
  addTo,
  createSmallSet,
  forEachOf,
  isEmpty,
  removeFrom,
  type SmallSet,
} from '../concurrency/small-set.ts';
import type { Job } from '../jobs/job.ts';
import type { Watcher } from '../jobs/ports.ts';

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
