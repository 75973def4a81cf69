import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { openArtifacts } from '../../../src/adapters/artifacts.ts';
import { backUp } from '../../../src/adapters/embedded/backup.ts';
import type { BackupReport } from '../../../src/adapters/embedded/backup-images.ts';
import { copyDatabase, openDatabase } from '../../../src/adapters/embedded/database.ts';
import { openStore } from '../../../src/adapters/store.ts';
import type { InputImage, Job } from '../../../src/jobs/job.ts';
import type { Ledger } from '../../../src/jobs/ports.ts';
import { createLog } from '../../../src/log.ts';
import { aJob } from '../../support/jobs.ts';

const SUBMIT = { maxQueue: 100, idempotency: null };
/** Bytes of an image that is a row of the job file, on pages of its own, and of one that is a file. */
const SMALL = 12_000;
const LARGE = 20_000;

async function openForTest() {
  const folder = await mkdtemp(join(tmpdir(), 'backup-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const dataDir = join(folder, 'data');
  const log = createLog('silent');
  const store = await openStore({ redisUrl: null, redisCaFile: null, dataDir, now: Date.now, log });
  onTestFinished(() => store.close());
  const root = join(dataDir, 'artifacts');
  const { artifacts, close } = await openArtifacts({
    location: { kind: 'files', root },
    signedUrls: false,
    small: store.smallArtifacts,
    now: Date.now,
    log,
  });
  onTestFinished(close);
  const target = join(folder, 'copy');
  return {
    ...store,
    artifacts,
    /** Stores an image of random bytes, and gives it as a job refers to it. */
    async image(key: string, bytes: number, fields: Partial<InputImage> = {}) {
      const content = randomBytes(bytes);
      await artifacts.put(key, content);
      const [one] = aJob().request.images;
      if (one === undefined) throw new Error('a job has an image');
      return { content, stored: { ...one, ...fields, key, bytes } };
    },
    backUp: (copied: string | null = root): Promise<BackupReport> =>
      backUp({
        ...{ dataDir, artifacts: copied, target },
        onProgress: () => undefined,
        signal: new AbortController().signal,
      }),
    /** Whether any file of the backup has a part of these bytes. */
    async has(content: Buffer): Promise<boolean> {
      // Pages of the database cut the bytes, but none of these parts more than once.
      const parts = Array.from({ length: Math.floor(content.length / 500) }, (_, n) =>
        content.subarray(n * 500, n * 500 + 100),
      );
      for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const file = await readFile(join(entry.parentPath, entry.name));
        if (parts.some(part => file.includes(part))) return true;
      }
      return false;
    },
    async openCopy(): Promise<Ledger> {
      const options = { redisUrl: null, redisCaFile: null, dataDir: target, now: Date.now, log };
      const { ledger, close } = await openStore(options);
      onTestFinished(close);
      return ledger;
    },
    names: async (): Promise<string[]> =>
      (await readdir(target, { recursive: true })).map(name => name.replaceAll('\\', '/')),
  };
}

function jobWith(images: readonly InputImage[], fields: Partial<Job> = {}): Job {
  const job = aJob();
  return { ...job, ...fields, request: { ...job.request, images } };
}

it('has no image, small or large, of a job that was being deleted', async () => {
  const store = await openForTest();
  const { image, ledger, artifacts } = store;
  const kept = await image('inputs/aa/kept-1.png', SMALL);
  await ledger.submit(jobWith([kept.stored]), SUBMIT);
  const small = await image('inputs/bb/gone-1.png', SMALL);
  const large = await image('inputs/bb/gone-2.png', LARGE, { slot: 2 });
  const last = await image('inputs/bb/gone-3.png', LARGE, { slot: 3 });
  await ledger.submit(jobWith([small.stored, large.stored, last.stored]), SUBMIT);
  // A delete removes the images first, in any order, and then the job.
  await artifacts.remove(last.stored.key);

  expect(await store.backUp()).toMatchObject({ jobs: 1, deleted: 1, files: 0, bytes: 0 });
  expect(await store.has(kept.content)).toBe(true);
  expect(await store.has(small.content)).toBe(false);
  expect(await store.has(large.content)).toBe(false);
  expect((await store.names()).filter(name => name.includes('bb'))).toEqual([]);
});

it('has no image of a job that was deleted before its image, or is not stored yet', async () => {
  const store = await openForTest();
  const alone = await store.image('inputs/aa/alone-1.png', SMALL);
  expect(await store.backUp()).toMatchObject({ jobs: 0, deleted: 0 });
  expect(await store.has(alone.content)).toBe(false);
});

it('has none of them where the other images are in a bucket', async () => {
  const store = await openForTest();
  const kept = await store.image('inputs/aa/kept-1.png', SMALL);
  await store.ledger.submit(jobWith([kept.stored]), SUBMIT);
  const alone = await store.image('inputs/aa/alone-1.png', SMALL);
  expect(await store.backUp(null)).toMatchObject({ jobs: 1, files: 0 });
  expect([await store.has(kept.content), await store.has(alone.content)]).toEqual([true, false]);
});

it('has an image of a batch as long as one of its jobs is there', async () => {
  const store = await openForTest();
  const { image, ledger, artifacts } = store;
  const batches = await Promise.all(
    ['one', 'two'].map(async id => {
      const small = await image(`inputs/${id}-shared-1.png`, SMALL, { shared: true });
      const large = await image(`inputs/${id}-shared-2.png`, LARGE, { shared: true, slot: 2 });
      const own = await image(`inputs/${id}-own.png`, LARGE, { slot: 3 });
      const batch = { id, index: 0 };
      const jobs = [
        jobWith([small.stored, large.stored, own.stored], { batch }),
        jobWith([small.stored, large.stored, ...(id === 'one' ? [] : [own.stored])], { batch }),
      ];
      await ledger.batches.submit({ id, owner: null, createdAt: 1_000, total: 2 }, jobs, {
        ...SUBMIT,
        idempotency: { key: id, fingerprint: 'x' },
      });
      // Without it the first job of batch one is being deleted, and both of batch two.
      await artifacts.remove(own.stored.key);
      return { small, large };
    }),
  );
  expect(await store.backUp()).toMatchObject({ jobs: 1, deleted: 3, files: 1, bytes: LARGE });
  const [one, two] = batches;
  if (one === undefined || two === undefined) throw new Error('there are two batches');
  expect([await store.has(one.small.content), await store.has(one.large.content)]).toEqual([true, true]);
  expect([await store.has(two.small.content), await store.has(two.large.content)]).toEqual([false, false]);

  const restored = await store.openCopy();
  expect(await restored.batches.read('one')).not.toBeNull();
  // Its idempotency key is free with it.
  const again = jobWith([two.small.stored], { batch: { id: 'new', index: 0 } });
  const submit = restored.batches.submit({ id: 'new', owner: null, createdAt: 2_000, total: 1 }, [again], {
    ...SUBMIT,
    idempotency: { key: 'two', fingerprint: 'x' },
  });
  expect(await submit).toEqual({ kind: 'stored' });
});

it('a copy that begins within a transaction has what the transaction stores', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'backup-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const db = openDatabase(join(folder, 'jobs.sqlite'), { update: true });
  onTestFinished(() => db.close());
  db.exec("BEGIN IMMEDIATE; INSERT INTO removals (number, owner, job_id) VALUES (7, NULL, 'removed')");
  const target = join(folder, 'copy.sqlite');
  await Promise.all([
    copyDatabase(db, target, () => undefined),
    // Longer than the copy needs to find the transaction.
    delay(50).then(() => db.exec('COMMIT')),
  ]);
  const copy = openDatabase(target, { update: false });
  onTestFinished(() => copy.close());
  expect(copy.prepare('SELECT job_id FROM removals').all()).toEqual([{ job_id: 'removed' }]);
});
