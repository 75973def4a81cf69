import { randomUUID } from 'node:crypto';
import { type Readable, Transform } from 'node:stream';
import { z } from 'zod';
import { ImageRefused } from '../images/failure.ts';
import type { ImageFailure, ImageLoader, LoadedImage } from '../images/fetch-image.ts';
import { tooLarge } from '../images/too-large.ts';
import { type Caller, shareOf } from './caller.ts';
import type { Artifacts, Clock } from './ports.ts';

const record = z.object({
  id: z.string(),
  owner: z.string().nullable(),
  mimeType: z.enum(['image/png', 'image/jpeg', 'image/webp']),
  extension: z.enum(['png', 'jpg', 'webp']),
  width: z.int(),
  height: z.int(),
  bytes: z.int(),
  sha256: z.string(),
  expiresAt: z.number(),
});

/** A picture that somebody sent ahead of the edits that use it. */
export type Upload = Readonly<z.output<typeof record>>;

export type UploadResult = { ok: true; upload: Upload } | { ok: false; failure: ImageFailure };

/** Pictures sent ahead. Another caller's is never told apart from one that is not there. */
export interface Uploads {
  /**
   * Streams a picture away, at most `maxBytes` of it, then verifies it as a fetched one is. Nothing is left of one
   * that is refused or cut short. Rejects when the source does.
   */
  take(source: Readable, caller: Caller): Promise<UploadResult>;
  /**
   * The picture, read when its turn has come and then kept for as long as a new one; null when there is none. An abort
   * rejects with the signal's reason.
   */
  use(id: string, caller: Caller, signal?: AbortSignal | undefined): Promise<LoadedImage | null>;
  /** Removes those whose time is over, and what is left of those that never came in whole. Returns how many. */
  sweep(): Promise<number>;
}

export interface UploadsOptions {
  readonly artifacts: Artifacts;
  readonly images: ImageLoader;
  readonly now: Clock;
  readonly maxBytes: number;
  /** Milliseconds that an upload is kept without being used. */
  readonly ttlMs: number;
  /**
   * Milliseconds that a picture may be there without its record: longer than any takes to come in and be checked, with
   * the clocks of gateways and store a little apart. Another gateway may be at it just now.
   */
  readonly graceMs: number;
}

const ID = /^[0-9a-f-]{36}$/;
const pictureKey = (id: string): string => `uploads/${id}/picture`;
const recordKey = (id: string): string => `uploads/${id}/record.json`;

/**
 * Uploads as two artifacts each: the picture, then the record that makes it one. So they live where the pictures of
 * jobs do, whichever store that is, and outlive a restart.
 */
export function createUploads(options: UploadsOptions): Uploads {
  const { artifacts, images, now, maxBytes, ttlMs, graceMs } = options;

  async function remove(id: string): Promise<void> {
    // The record first: a picture without one is swept, a record without a picture would promise it.
    await artifacts.remove(recordKey(id));
    await artifacts.remove(pictureKey(id));
  }

  async function read(id: string): Promise<Upload | null> {
    const content = await artifacts.get(recordKey(id));
    return content === null
      ? null
      : record.parse(JSON.parse(Buffer.concat(await content.toArray()).toString()));
  }

  async function picture(id: string): Promise<Uint8Array | null> {
    const content = await artifacts.get(pictureKey(id));
    return content === null ? null : Buffer.concat(await content.toArray());
  }

  async function keep(upload: Upload): Promise<void> {
    await artifacts.put(recordKey(upload.id), Buffer.from(JSON.stringify(upload)));
  }

  async function store(id: string, source: Readable): Promise<ImageFailure | null> {
    try {
      await artifacts.put(pictureKey(id), atMost(source, maxBytes));
      return null;
    } catch (error) {
      if (error instanceof ImageRefused) return error.failure;
      throw error;
    }
  }

  async function verify(id: string, caller: Caller): Promise<UploadResult> {
    const result = await images.fromReader(async () => (await picture(id)) ?? new Uint8Array(), {
      share: shareOf(caller),
    });
    if (!result.ok) return result;
    const { bytes, ...facts } = result.image;
    // Verifying may have made another file of it: the first frame of a film.
    if ((await artifacts.size(pictureKey(id))) !== bytes.byteLength)
      await artifacts.put(pictureKey(id), bytes);
    const upload = { id, owner: caller.id, ...facts, bytes: bytes.byteLength, expiresAt: now() + ttlMs };
    return { ok: true, upload };
  }

  return {
    async take(source, caller) {
      const id = randomUUID();
      let kept = false;
      try {
        const failure = await store(id, source);
        if (failure !== null) return { ok: false, failure };
        const result = await verify(id, caller);
        if (result.ok) await keep(result.upload);
        kept = result.ok;
        return result;
      } finally {
        if (!kept) await remove(id);
      }
    },
    async use(id, caller, signal) {
      if (!ID.test(id)) return null;
      const upload = await read(id);
      if (upload === null || upload.expiresAt <= now()) return null;
      if (!caller.operator && upload.owner !== caller.id) return null;
      const bytes = await images.inTurn(() => picture(id), { share: shareOf(caller), signal });
      if (bytes === null) return null;
      await keep({ ...upload, expiresAt: now() + ttlMs });
      const { mimeType, extension, width, height, sha256 } = upload;
      return { bytes, mimeType, extension, width, height, sha256 };
    },
    async sweep() {
      const newest = new Map<string, number>();
      for (const { key, modifiedAt } of await artifacts.list('uploads')) {
        const id = key.split('/')[1] ?? '';
        newest.set(id, Math.max(newest.get(id) ?? 0, modifiedAt));
      }
      let removed = 0;
      for (const [id, modifiedAt] of newest) {
        const upload = await read(id);
        if ((upload?.expiresAt ?? modifiedAt + graceMs) > now()) continue;
        await remove(id);
        removed += 1;
      }
      return removed;
    },
  };
}

/** The same bytes, until there are too many. */
function atMost(source: Readable, maxBytes: number): Readable {
  let seen = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.byteLength;
      if (seen > maxBytes) done(tooLarge(maxBytes));
      else done(null, chunk);
    },
  });
  // Whoever reads it is told; until somebody does, an error is no reason to end the process.
  counted.on('error', () => source.unpipe(counted));
  source.once('error', error => counted.destroy(error));
  // A sender who leaves ends the source without its end.
  source.once('close', () => {
    if (!source.readableEnded) counted.destroy(new Error('The picture did not come in whole'));
  });
  return source.pipe(counted);
}
