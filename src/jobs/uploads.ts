import { randomUUID } from 'node:crypto';
import { type Readable, Transform } from 'node:stream';
import { z } from 'zod';
import { ImageError, type ImageFailure, tooLarge } from '../images/errors.ts';
import type { ImageLoader } from '../images/loader.ts';
import type { VerifiedImage } from '../images/verify.ts';
import { type Artifacts, readArtifact, readHashed } from './image-stores.ts';
import { type Caller, maySee, shareOf } from './job.ts';
import type { Clock } from './ports.ts';

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

/** An image that a caller uploaded to use it in edits. */
export type Upload = Readonly<z.output<typeof record>>;

export type UploadResult = { ok: true; upload: Upload } | { ok: false; failure: ImageFailure };

/** Callers see only their own uploads; another caller's looks the same as one that does not exist. */
export interface Uploads {
  /**
   * Streams an image of at most `maxBytes` into the store, then verifies it like a fetched one. Removes it again if it
   * is rejected or truncated. Rejects if the source fails.
   */
  take(source: Readable, caller: Caller): Promise<UploadResult>;
  /**
   * Reads an uploaded image in turn, and renews its time to live; null if there is none. An abort rejects with the
   * signal's reason.
   */
  use(id: string, caller: Caller, signal?: AbortSignal | undefined): Promise<VerifiedImage | null>;
  /** Removes an upload that `take` has made. */
  drop(id: string): Promise<void>;
  /** Removes expired uploads and the remains of incomplete ones. Returns how many. */
  sweep(): Promise<number>;
}

export interface UploadsOptions {
  readonly artifacts: Artifacts;
  readonly images: ImageLoader;
  readonly now: Clock;
  readonly maxBytes: number;
  /** Milliseconds that an unused upload is kept. */
  readonly ttlMs: number;
  /**
   * Milliseconds that an image may be stored without its record: another gateway may be receiving it. Longer than
   * receiving and verifying any upload takes, plus some clock skew between gateways and store.
   */
  readonly graceMs: number;
}

const ID = /^[0-9a-f-]{36}$/;
const imageKey = (id: string): string => `uploads/${id}/picture`;
const recordKey = (id: string): string => `uploads/${id}/record.json`;

/**
 * Stores each upload as two artifacts, first the image, then the record that makes it usable. So uploads are stored
 * like the images of jobs, and survive a restart.
 */
export function createUploads(options: UploadsOptions): Uploads {
  const { artifacts, images, now, maxBytes, ttlMs, graceMs } = options;

  async function remove(id: string): Promise<void> {
    // The record first: an image without a record is swept later, but a record must not be left without its image.
    await artifacts.remove(recordKey(id));
    await artifacts.remove(imageKey(id));
  }

  async function readRecord(id: string): Promise<Upload | null> {
    const content = await readArtifact(artifacts, recordKey(id));
    return content === null ? null : record.parse(JSON.parse(content.toString()));
  }

  async function keep(upload: Upload): Promise<void> {
    await artifacts.put(recordKey(upload.id), Buffer.from(JSON.stringify(upload)));
  }

  async function store(id: string, source: Readable): Promise<ImageFailure | null> {
    try {
      await artifacts.put(imageKey(id), atMost(source, maxBytes));
      return null;
    } catch (error) {
      if (error instanceof ImageError) return error.failure;
      throw error;
    }
  }

  async function verify(id: string, caller: Caller): Promise<UploadResult> {
    const size = (await artifacts.size(imageKey(id))) ?? 0;
    const stored = async () =>
      (await readHashed(artifacts, imageKey(id), size)) ?? { bytes: new Uint8Array() };
    const result = await images.fromReader(stored, { share: shareOf(caller), decode: true });
    if (!result.ok) return result;
    const { bytes, ...facts } = result.image;
    // The verifier converts an animated image to its first frame.
    if (size !== bytes.byteLength) await artifacts.put(imageKey(id), bytes);
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
      const upload = await readRecord(id);
      if (upload === null || upload.expiresAt <= now() || !maySee(upload, caller)) return null;
      const read = () => readArtifact(artifacts, imageKey(id), upload.bytes);
      const bytes = await images.inTurn(read, { share: shareOf(caller), signal });
      if (bytes === null) return null;
      await keep({ ...upload, expiresAt: now() + ttlMs });
      const { mimeType, extension, width, height, sha256 } = upload;
      return { bytes, mimeType, extension, width, height, sha256 };
    },
    drop: remove,
    async sweep() {
      const newest = new Map<string, number>();
      for (const { key, modifiedAt } of await artifacts.list('uploads')) {
        const id = key.split('/')[1] ?? '';
        newest.set(id, Math.max(newest.get(id) ?? 0, modifiedAt));
      }
      let removed = 0;
      for (const [id, modifiedAt] of newest) {
        const upload = await readRecord(id);
        if ((upload?.expiresAt ?? modifiedAt + graceMs) > now()) continue;
        await remove(id);
        removed += 1;
      }
      return removed;
    },
  };
}

/** Passes the bytes on; fails as soon as there are more than `maxBytes`, or if the source ends early. */
function atMost(source: Readable, maxBytes: number): Readable {
  let seen = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.byteLength;
      if (seen > maxBytes) done(tooLarge(maxBytes));
      else done(null, chunk);
    },
  });
  // The reader gets the error, too; without a listener it would end the process if there is no reader yet.
  counted.on('error', () => source.unpipe(counted));
  source.once('error', error => counted.destroy(error));
  // If the client disconnects, the source closes without ending, perhaps before it came here.
  const end = (): void => {
    if (!source.readableEnded) counted.destroy(new Error('The image was not received completely'));
  };
  source.once('close', end);
  if (source.destroyed) end();
  return source.pipe(counted);
}
