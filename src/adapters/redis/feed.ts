import { addTo, type Few, few, forEachOf, isEmpty, removeFrom } from '../../jobs/few.ts';
import type { Job } from '../../jobs/job.ts';
import type { Feed, Watcher } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import type { Keys } from './keys.ts';
import { readMessage } from './replies.ts';

export interface RedisFeedOptions {
  readonly keys: Keys;
  readonly log: Log;
  /** Resolves when the channel is listened to. */
  join(channel: string): Promise<void>;
  leave(channel: string): void;
  readMany(ids: readonly string[]): Promise<(Job | null)[]>;
}

/** The feed of a gateway that shares Redis with others: a channel a job, listened to while somebody watches it. */
export interface RedisFeed extends Feed {
  /** The channels of all watched jobs. */
  channels(): string[];
  /** Takes a message of a job's channel to those who watch it. One that cannot be read is logged and let go. */
  message(channel: string, text: string): void;
  /** Hands every watcher the present snapshot: what was announced while nobody listened is lost. */
  refresh(): Promise<void>;
}

/** Snapshots read in one round trip. */
const BATCH = 200;

/** Makes a feed with no watchers; a job without watchers costs nothing here. */
export function createRedisFeed({ keys, log, join, leave, readMany }: RedisFeedOptions): RedisFeed {
  const jobs = new Map<string, Few<Watcher>>();

  function remove(jobId: string, watchers: Few<Watcher>, watcher: Watcher): void {
    removeFrom(watchers, watcher);
    if (!isEmpty(watchers) || jobs.get(jobId) !== watchers) return;
    jobs.delete(jobId);
    leave(keys.feed(jobId));
  }

  function tell(jobId: string, news: Job | 'gone'): void {
    const watchers = jobs.get(jobId);
    if (watchers === undefined) return;
    forEachOf(watchers, watcher => {
      if (news === 'gone') watcher.gone();
      else watcher.changed(news);
    });
  }

  return {
    async watch(jobId, watcher) {
      const watchers = jobs.get(jobId) ?? few();
      jobs.set(jobId, watchers);
      addTo(watchers, watcher);
      try {
        // Each watcher joins, although once is enough: a connection that was just opened may not have the channel yet.
        await join(keys.feed(jobId));
      } catch (error) {
        remove(jobId, watchers, watcher);
        throw error;
      }
      return () => remove(jobId, watchers, watcher);
    },
    watched: () => [...jobs.keys()],
    channels: () => [...jobs.keys()].map(keys.feed),
    message(channel, text) {
      const jobId = keys.jobOf(channel);
      if (jobId === null) return;
      try {
        tell(jobId, readMessage(text));
      } catch (error) {
        log.warn({ channel, error: String(error) }, 'a message of the feed could not be read');
      }
    },
    async refresh() {
      const ids = [...jobs.keys()];
      for (let from = 0; from < ids.length; from += BATCH) {
        const batch = ids.slice(from, from + BATCH);
        const found = await readMany(batch);
        for (const [n, id] of batch.entries()) tell(id, found[n] ?? 'gone');
      }
    },
  };
}
