import type { Job } from '../../jobs/job.ts';
import type { Feed, Watcher } from '../../jobs/ports.ts';

/** The feed of a gateway that stands alone: the ledger tells it of each commit, it tells the job's watchers. */
export interface EmbeddedFeed extends Feed {
  changed(job: Job): void;
  gone(jobId: string): void;
}

/** Makes a feed with no watchers; a job without watchers costs nothing. */
export function createEmbeddedFeed(): EmbeddedFeed {
  const watchers = new Map<string, Set<Watcher>>();
  return {
    async watch(jobId, watcher) {
      const set = watchers.get(jobId) ?? new Set();
      watchers.set(jobId, set);
      set.add(watcher);
      return () => {
        set.delete(watcher);
        if (set.size === 0 && watchers.get(jobId) === set) watchers.delete(jobId);
      };
    },
    changed(job) {
      for (const watcher of watchers.get(job.id) ?? []) watcher.changed(job);
    },
    gone(jobId) {
      for (const watcher of watchers.get(jobId) ?? []) watcher.gone();
    },
    watched() {
      return [...watchers.keys()];
    },
  };
}
