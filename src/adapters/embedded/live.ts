import type { PreviewImage, Previews } from '../../jobs/image-stores.ts';
import type { Job } from '../../jobs/job.ts';
import type { Change, Feed } from '../../jobs/ports.ts';
import { createUpdateWatchers, createWatchers } from '../watchers.ts';

/** The feed of a gateway that runs alone. Its ledger reports every commit and deletion to it. */
export interface EmbeddedFeed extends Feed {
  changed(job: Job): void;
  gone(jobId: string): void;
  /** Passes a change on to those that watch all jobs of the owner, or of all. In the order of the numbers. */
  update(owner: string | null, change: Change): void;
}

/** Starts with no watchers. */
export function createEmbeddedFeed(): EmbeddedFeed {
  const watchers = createWatchers();
  const updates = createUpdateWatchers();
  return {
    watch: async (jobId, watcher) => watchers.add(jobId, watcher),
    changed: job => watchers.notify(job.id, job),
    gone: jobId => watchers.notify(jobId, 'gone'),
    watched: watchers.jobs,
    watchAll: async (owner, watcher) => updates.add(owner, watcher),
    update(owner, change) {
      updates.notify(null, change);
      if (owner !== null) updates.notify(owner, change);
    },
  };
}

/** Keeps the newest preview of each running job in memory. */
export function createMemoryPreviews(): Previews {
  const previews = new Map<string, PreviewImage>();
  return {
    async put(jobId, preview) {
      previews.set(jobId, preview);
    },
    async get(jobId) {
      return previews.get(jobId) ?? null;
    },
    async drop(jobId) {
      previews.delete(jobId);
    },
  };
}
