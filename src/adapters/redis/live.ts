import { z } from 'zod';
import type { Job } from '../../jobs/job.ts';
import type { Feed, PreviewImage, Previews } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import { createWatchers } from '../watchers.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { reach, readMessage } from './replies.ts';

export interface RedisFeedOptions {
  readonly keys: Keys;
  readonly log: Log;
  /** Resolves when the connection is subscribed to the channel. */
  join(channel: string): Promise<void>;
  leave(channel: string): void;
  readMany(ids: readonly string[]): Promise<(Job | null)[]>;
}

/** The feed of a gateway that shares Redis: one channel per job, subscribed to while the job has watchers. */
export interface RedisFeed extends Feed {
  /** The channels of all watched jobs. */
  channels(): string[];
  /** Passes a message to the watchers of its job. Logs and drops a message that it cannot parse. */
  message(channel: string, text: string): void;
  /** Passes the current snapshot of each watched job to its watchers: messages sent while unsubscribed are lost. */
  refresh(): Promise<void>;
}

/** Snapshots read per round trip. */
const BATCH = 200;

/** Starts with no watchers. */
export function createRedisFeed({ keys, log, join, leave, readMany }: RedisFeedOptions): RedisFeed {
  const watchers = createWatchers();
  return {
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
    channels: () => watchers.jobs().map(keys.feed),
    message(channel, text) {
      const jobId = keys.jobOf(channel);
      if (jobId === null) return;
      try {
        watchers.notify(jobId, readMessage(text));
      } catch (error) {
        log.warn({ channel, err: error }, 'could not read a message of the feed');
      }
    },
    async refresh() {
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
