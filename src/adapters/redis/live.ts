import { z } from 'zod';
import type { PreviewImage, Previews } from '../../jobs/image-stores.ts';
import type { Job } from '../../jobs/job.ts';
import type { Feed } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import { createUpdateWatchers, createWatchers } from '../watchers.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { reach, readMessage, readUpdate } from './replies.ts';

export interface RedisFeedOptions {
  readonly keys: Keys;
  readonly log: Log;
  /** Resolves when the connection is subscribed to the channel. */
  join(channel: string): Promise<void>;
  leave(channel: string): void;
  readMany(ids: readonly string[]): Promise<(Job | null)[]>;
}

/**
 * The feed of a gateway that shares Redis: one channel per job and one per caller for all jobs, subscribed to while they
 * have watchers.
 */
export interface RedisFeed extends Feed {
  /** The channels of all that is watched. */
  channels(): string[];
  /** Passes a message to the watchers of its channel. Logs and drops a message that it cannot parse. */
  message(channel: string, text: string): void;
  /**
   * Passes the current snapshot of each watched job to its watchers, and tells those of all jobs: messages sent while
   * unsubscribed are lost.
   */
  refresh(): Promise<void>;
}

/** Snapshots read per round trip. */
const BATCH = 200;

/** Starts with no watchers. */
export function createRedisFeed({ keys, log, join, leave, readMany }: RedisFeedOptions): RedisFeed {
  const watchers = createWatchers();
  const updates = createUpdateWatchers();
  return {
    async watchAll(owner, watcher) {
      const channel = keys.updates(owner);
      const remove = updates.add(owner, watcher);
      const stop = (): void => {
        if (remove()) leave(channel);
      };
      try {
        await join(channel);
      } catch (error) {
        stop();
        throw error;
      }
      return stop;
    },
    async watch(jobId, watcher) {
      const remove = watchers.add(jobId, watcher);
      const stop = (): void => {
        if (remove()) leave(keys.feed(jobId));
      };
      try {
        // Subscribe for every watcher, although the first would do: a new connection may not have the channel yet.
        await join(keys.feed(jobId));
      } catch (error) {
        stop();
        throw error;
      }
      return stop;
    },
    watched: watchers.jobs,
    channels: () => [...watchers.jobs().map(keys.feed), ...updates.owners().map(keys.updates)],
    message(channel, text) {
      const jobId = keys.jobOf(channel);
      const owner = keys.ownerOf(channel);
      try {
        if (jobId !== null) watchers.notify(jobId, readMessage(text));
        else if (owner !== undefined) updates.notify(owner, readUpdate(text));
      } catch (error) {
        log.warn({ channel, err: error }, 'could not read a message of the feed');
      }
    },
    async refresh() {
      updates.missed();
      const ids = watchers.jobs();
      for (let from = 0; from < ids.length; from += BATCH) {
        const batch = ids.slice(from, from + BATCH);
        const found = await readMany(batch);
        for (const [n, id] of batch.entries()) watchers.notify(id, found[n] ?? 'gone');
      }
    },
  };
}

/** Redis deletes a preview this long after it was stored: its run has ended, and its gateway did not delete it. */
const PREVIEW_TTL_MS = 10 * 60_000;
const NEWLINE = 0x0a;

const previewHeader = z.object({
  sequence: z.number(),
  mimeType: z.enum(['image/png', 'image/jpeg', 'image/webp']),
});

/** The newest preview of each running job, shared by all gateways. */
export function createRedisPreviews(client: Client, keys: Keys): Previews {
  return {
    async put(jobId, { bytes, ...header }) {
      await reach(client.set(keys.preview(jobId), pack(header, bytes), 'PX', PREVIEW_TTL_MS));
    },
    async get(jobId) {
      const packed = await reach(client.getBuffer(keys.preview(jobId)));
      return packed === null ? null : unpack(packed);
    },
    async drop(jobId) {
      await reach(client.del(keys.preview(jobId)));
    },
  };
}

/** One line of JSON, then the image, so that a single command replaces both. */
function pack(header: Omit<PreviewImage, 'bytes'>, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), bytes]);
}

function unpack(packed: Buffer): PreviewImage {
  const end = packed.indexOf(NEWLINE);
  const header = previewHeader.parse(JSON.parse(packed.toString('utf8', 0, end)));
  return { ...header, bytes: packed.subarray(end + 1) };
}
