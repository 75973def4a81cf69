import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createFileArtifacts } from '../../src/adapters/files/artifacts.ts';
import { parseAllowList } from '../../src/images/allow.ts';
import { createImageLoader, type ImageLoader } from '../../src/images/fetch-image.ts';
import type { Artifacts } from '../../src/jobs/ports.ts';
import { createUploads, type Uploads } from '../../src/jobs/uploads.ts';

const ME = { id: 'me', operator: false };

let folder: string;
let artifacts: Artifacts;
let images: ImageLoader;
let uploads: Uploads;
let png: Buffer;
let at = 1_000_000;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'uploads-'));
  artifacts = createFileArtifacts(folder);
  images = createImageLoader({
    allow: parseAllowList(''),
    maxBytes: 100_000,
    maxPixels: 1e6,
    totalTimeoutMs: 1_000,
  });
  uploads = createUploads({ artifacts, images, now: () => at, maxBytes: 100_000, ttlMs: 1_000 });
  png = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
});
afterAll(async () => {
  await images.close();
  await rm(folder, { recursive: true });
});

const keys = async (): Promise<string[]> => (await artifacts.list('uploads')).map(({ key }) => key);

it('sweeps what is over and what has no record, and nothing that is good or still comes in', async () => {
  const old = await uploads.take(Readable.from([png]), ME);
  at += 600;
  const young = await uploads.take(Readable.from([png]), ME);
  const coming = new PassThrough();
  const taken = uploads.take(coming, ME);
  coming.write(png);
  await artifacts.put('uploads/00000000-0000-4000-8000-000000000000/picture', png);
  at += 600;
  expect(await uploads.sweep()).toBe(2);
  if (!old.ok || !young.ok) throw new Error('refused');
  expect(await uploads.use(old.upload.id, ME)).toBeNull();
  expect(await uploads.use(young.upload.id, ME)).toMatchObject({ width: 8, bytes: png });
  coming.end();
  expect(await taken).toMatchObject({ ok: true });
});

it('keeps the first frame of a film, as PNG', async () => {
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

it('rejects, and keeps nothing, when the source breaks', async () => {
  const before = await keys();
  const source = new PassThrough();
  const taken = uploads.take(source, ME);
  source.write(png);
  source.destroy(new Error('gone'));
  await expect(taken).rejects.toThrow('gone');
  expect(await keys()).toEqual(before);
});
