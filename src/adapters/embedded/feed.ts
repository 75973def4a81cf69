import { addTo, type Few, few, forEachOf, isEmpty, removeFrom } from '../../jobs/few.ts';
import type { Job } from '../../jobs/job.ts';
import type { Feed, Watcher } from '../../jobs/ports.ts';

/** The feed of a gateway that stands alone: the ledger tells it of each commit, it tells the job's watchers. */
export interface EmbeddedFeed extends Feed {
  changed(job: Job): void;
  gone(jobId: string): void;
}

/** Makes a feed with no watchers; a job without watchers costs nothing. */
export function createEmbeddedFeed(): EmbeddedFeed {
  const watchers = new Map<string, Few<Watcher>>();

  function tell(jobId: string, news: (watcher: Watcher) => void): void {
    const watching = watchers.get(jobId);
    if (watching !== undefined) forEachOf(watching, news);
  }

  return {
    async watch(jobId, watcher) {
      const watching = watchers.get(jobId) ?? few();
      watchers.set(jobId, watching);
      addTo(watching, watcher);
      return () => {
        removeFrom(watching, watcher);
        if (isEmpty(watching) && watchers.get(jobId) === watching) watchers.delete(jobId);
      };
    },
    changed(job) {
      tell(job.id, watcher => watcher.changed(job));
    },
    gone(jobId) {
      tell(jobId, watcher => watcher.gone());
    },
    watched() {
      return [...watchers.keys()];
    },
  };
}
