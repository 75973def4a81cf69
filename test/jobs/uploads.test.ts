import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openArtifacts } from '../../src/adapters/artifacts.ts';
import { parseArtifactsUrl } from '../../src/adapters/artifacts-location.ts';
import { createFileArtifacts } from '../../src/adapters/files/artifacts.ts';
import { createImageLoader, type ImageLoader } from '../../src/images/loader.ts';
import type { Artifacts } from '../../src/jobs/image-stores.ts';
import { createUploads, type Uploads } from '../../src/jobs/uploads.ts';
import { parseAllowList } from '../../src/outbound/allow-list.ts';
import { recordLog } from '../support/log.ts';
import { startS3 } from '../support/stores/s3.ts';

const ME = { id: 'me', operator: false };

let folder: string;
let artifacts: Artifacts;
let images: ImageLoader;
let uploads: Uploads;
let png: Buffer;
let at = Date.now();
/** More than the clocks of this test and of a store are apart. */
const GRACE_MS = 60_000;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'uploads-'));
  artifacts = createFileArtifacts(folder);
  images = createImageLoader({
    allow: parseAllowList(''),
    maxBytes: 100_000,
    maxPixels: 1e6,
    totalTimeoutMs: 1_000,
  });
  uploads = createUploads({
    artifacts,
    images,
    now: () => at,
    maxBytes: 100_000,
    ttlMs: 1_000,
    graceMs: GRACE_MS,
  });
  png = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
});
afterAll(async () => {
  await images.close();
  await rm(folder, { recursive: true });
});

const keys = async (): Promise<string[]> => (await artifacts.list('uploads')).map(({ key }) => key);

it('sweeps expired uploads only', async () => {
  const old = await uploads.take(Readable.from([png]), ME);
  at += 600;
  const young = await uploads.take(Readable.from([png]), ME);
  at += 600;
  expect(await uploads.sweep()).toBe(1);
  if (!old.ok || !young.ok) throw new Error('refused');
  expect(await uploads.use(old.upload.id, ME)).toBeNull();
  expect(await uploads.use(young.upload.id, ME)).toMatchObject({ width: 8, bytes: png });
  expect(await keys()).toHaveLength(2);
});

describe.each(['files', 'S3'])('gateways that share their artifacts: %s', kind => {
  let close: () => Promise<void>;
  let shared: Artifacts;
  beforeAll(async () => {
    const s3 = kind === 'S3' ? await startS3() : null;
    for (const [name, value] of Object.entries(s3?.environment ?? {})) vi.stubEnv(name, value);
    const place = await mkdtemp(join(tmpdir(), 'shared-'));
    const parsed = parseArtifactsUrl(s3?.url() ?? `file://${place}`);
    if (!parsed.ok) throw new Error(parsed.fault);
    const options = { location: parsed.value, signedUrls: false, now: Date.now, log: recordLog() };
    const opened = await openArtifacts(options);
    shared = opened.artifacts;
    close = async () => {
      await opened.close();
      await s3?.stop();
      await rm(place, { recursive: true });
      vi.unstubAllEnvs();
    };
  });
  afterAll(() => close());

  it('keep each other’s unfinished uploads, and sweep them after the grace period', async () => {
    let later = 0;
    const now = (): number => Date.now() + later;
    const options = { artifacts: shared, images, now, maxBytes: 100_000, ttlMs: 5_000, graceMs: GRACE_MS };
    // One of them is just looking at a picture that came in whole.
    let look = (): void => {};
    const looked = new Promise<void>(resolve => {
      look = resolve;
    });
    const slow: ImageLoader = {
      ...images,
      fromReader: (read, asker) => looked.then(() => images.fromReader(read, asker)),
    };
    const [one, other] = [createUploads({ ...options, images: slow }), createUploads(options)];
    const taken = one.take(Readable.from([png]), ME);
    await expect.poll(() => shared.list('uploads')).toHaveLength(1);
    expect(await other.sweep()).toBe(0);
    look();
    const result = await taken;
    if (!result.ok) throw new Error(result.failure.message);
    expect(await other.sweep()).toBe(0);
    expect(await other.use(result.upload.id, ME)).toMatchObject({ bytes: png });

    // What a killed one has left.
    await shared.put('uploads/00000000-0000-4000-8000-000000000000/picture', png);
    expect(await other.sweep()).toBe(0);
    later = GRACE_MS + 10_000;
    expect(await other.sweep()).toBe(2);
    expect(await shared.list('uploads')).toEqual([]);
  });
});

it('keeps the first frame of an animation, as PNG', async () => {
  const frame = { create: { width: 8, height: 8, channels: 3 as const, background: 'red' } };
  const film = await sharp(
    [
      await sharp(frame).png().toBuffer(),
      await sharp({ create: { ...frame.create, background: 'blue' } })
        .png()
        .toBuffer(),
    ],
    {
      join: { animated: true },
    },
  )
    .webp()
    .toBuffer();
  const result = await uploads.take(Readable.from([film]), ME);
  if (!result.ok) throw new Error(result.failure.message);
  expect(result.upload).toMatchObject({ mimeType: 'image/png', width: 8, height: 8 });
  const used = await uploads.use(result.upload.id, ME);
  expect((await sharp(used?.bytes).metadata()).format).toBe('png');
});

it('reads a used upload in turn, and not for a caller that has disconnected', async () => {
  const taken = await uploads.take(Readable.from([png]), ME);
  if (!taken.ok) throw new Error(taken.failure.message);
  const one = createImageLoader({
    allow: parseAllowList(''),
    maxBytes: 100_000,
    maxPixels: 1e6,
    totalTimeoutMs: 1_000,
    local: 1,
  });
  const opened: string[] = [];
  const watched: Artifacts = {
    ...artifacts,
    get(key, range) {
      opened.push(key.slice(key.lastIndexOf('/') + 1));
      return artifacts.get(key, range);
    },
  };
  const options = { artifacts: watched, images: one, now: () => at, maxBytes: 100_000, ttlMs: 1_000 };
  const waiting = createUploads({ ...options, graceMs: GRACE_MS });
  const { promise: before, resolve: finish } = Promise.withResolvers<Uint8Array>();
  const first = one.fromReader(async () => ({ bytes: await before }));
  const caller = new AbortController();
  const left = waiting.use(taken.upload.id, ME, caller.signal);
  const used = waiting.use(taken.upload.id, ME);
  await expect.poll(() => opened).toEqual(['record.json', 'record.json']);
  const reason = new Error('left');
  caller.abort(reason);
  await expect(left).rejects.toBe(reason);
  expect(opened).not.toContain('picture');
  finish(png);
  expect(await first).toMatchObject({ ok: true });
  expect(await used).toMatchObject({ width: 8, bytes: png });
  expect(opened).toEqual(['record.json', 'record.json', 'picture']);
  await one.close();
});

it('rejects, and keeps nothing, if the source fails', async () => {
  const before = await keys();
  const source = new PassThrough();
  const taken = uploads.take(source, ME);
  source.write(png);
  source.destroy(new Error('gone'));
  await expect(taken).rejects.toThrow('gone');
  expect(await keys()).toEqual(before);
});
