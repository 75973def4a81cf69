import { z } from 'zod';
import type { PreviewImage, Previews } from '../../jobs/ports.ts';
import type { Client } from './client.ts';
import { reach } from './failure.ts';
import type { Keys } from './keys.ts';

/** A preview that nobody replaced for so long is of a run that ended unseen. */
const KEPT_MS = 10 * 60_000;
const NEWLINE = 0x0a;

const header = z.object({
  sequence: z.number(),
  mimeType: z.enum(['image/png', 'image/jpeg', 'image/webp']),
});

/** The newest preview of each running job, seen by every gateway; it goes by itself ten minutes after it came. */
export function createRedisPreviews(client: Client, keys: Keys): Previews {
  return {
    async put(jobId, { bytes, ...rest }) {
      await reach(client.set(keys.preview(jobId), pack(rest, bytes), 'PX', KEPT_MS));
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

/** A line of JSON, then the picture, so that one command replaces both. */
function pack(fields: Omit<PreviewImage, 'bytes'>, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify(fields)}\n`), bytes]);
}

function unpack(packed: Buffer): PreviewImage {
  const end = packed.indexOf(NEWLINE);
  return { ...header.parse(JSON.parse(packed.toString('utf8', 0, end))), bytes: packed.subarray(end + 1) };
}
