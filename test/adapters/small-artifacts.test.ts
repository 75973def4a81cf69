import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { type EmbeddedLedger, openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed } from '../../src/adapters/embedded/live.ts';
import { createFileArtifacts } from '../../src/adapters/files/artifacts.ts';
import { storeSmallApart } from '../../src/adapters/small-artifacts.ts';
import type { Artifacts } from '../../src/jobs/image-stores.ts';
import { artifactsContract } from './contract/artifacts-contract.ts';

interface Opened {
  readonly root: string;
  readonly ledger: EmbeddedLedger;
  readonly artifacts: Artifacts;
  close(): Promise<void>;
}

async function open(prefix: string, root?: string): Promise<Opened> {
  const folder = root ?? (await mkdtemp(join(tmpdir(), 'small-')));
  const ledger = openLedger(folder);
  const artifacts = storeSmallApart(createFileArtifacts(join(folder, 'files')), ledger.smallArtifacts, {
    prefix,
    adds: true,
  });
  return {
    root: folder,
    ledger,
    artifacts,
    async close() {
      await ledger.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function openLedger(folder: string): EmbeddedLedger {
  return openEmbeddedLedger({ path: join(folder, 'jobs.sqlite'), feed: createEmbeddedFeed(), now: Date.now });
}

async function openForTest(): Promise<Opened> {
  const opened = await open('inputs');
  onTestFinished(() => opened.close());
  return opened;
}

const files = async (root: string): Promise<string[]> =>
  (await readdir(join(root, 'files'), { recursive: true }).catch(() => [])).filter(name =>
    name.endsWith('.png'),
  );

async function read({ artifacts }: Opened, key: string): Promise<Buffer | null> {
  const stream = await artifacts.get(key);
  return stream === null ? null : buffer(stream);
}

artifactsContract('small ones in the job file', () => open(''));

it('are rows up to 16 KiB below their prefix, and files otherwise', async () => {
  const opened = await openForTest();
  const { artifacts, root } = opened;
  const small = randomBytes(16 * 1024);
  await artifacts.put('inputs/ab/small.png', small);
  expect(await files(root)).toEqual([]);
  await artifacts.put('inputs/ab/large.png', randomBytes(16 * 1024 + 1));
  await artifacts.put('inputs/ab/stream.png', Readable.from([small]));
  await artifacts.put('outputs/small.png', small);
  expect((await files(root)).toSorted()).toEqual([
    'inputs/ab/large.png',
    'inputs/ab/stream.png',
    'outputs/small.png',
  ]);
  for (const key of ['inputs/ab/small.png', 'inputs/ab/stream.png', 'outputs/small.png']) {
    expect((await read(opened, key))?.equals(small), key).toBe(true);
  }
  expect(await artifacts.size('inputs/ab/large.png')).toBe(16 * 1024 + 1);
});

it('are one artifact also when a file replaces a row, or a row a file', async () => {
  const opened = await openForTest();
  const { artifacts, root } = opened;
  for (const length of [10, 20_000, 11, 20_001]) {
    const bytes = randomBytes(length);
    await artifacts.put('inputs/a.png', bytes);
    expect((await read(opened, 'inputs/a.png'))?.equals(bytes)).toBe(true);
    expect(await artifacts.list('inputs')).toMatchObject([{ key: 'inputs/a.png', bytes: length }]);
  }
  await artifacts.remove('inputs/a.png');
  expect([await read(opened, 'inputs/a.png'), await files(root)]).toEqual([null, []]);
});

it('are there after the ledger was opened again, and leave no bytes in its file once removed', async () => {
  const opened = await open('inputs');
  onTestFinished(() => rm(opened.root, { recursive: true, force: true }));
  // Of several pages.
  const [kept, removed] = [randomBytes(9_000), randomBytes(9_000)];
  await opened.artifacts.put('inputs/kept.png', kept);
  await opened.artifacts.put('inputs/removed.png', removed);
  await opened.ledger.close();
  const path = join(opened.root, 'jobs.sqlite');
  const parts = (of: Buffer) => [of.subarray(0, 100), of.subarray(4_500, 4_600), of.subarray(-100)];
  const inFile = async (of: Buffer) => {
    const file = await readFile(path);
    return parts(of).map(part => file.includes(part));
  };
  expect(await inFile(removed)).toEqual([true, true, true]);
  const again = await open('inputs', opened.root);
  expect((await read(again, 'inputs/kept.png'))?.equals(kept)).toBe(true);
  await again.artifacts.remove('inputs/removed.png');
  await again.ledger.close();
  expect(await inFile(removed)).toEqual([false, false, false]);
  expect(await inFile(kept)).toEqual([true, true, true]);
});

it('are sent like files', async () => {
  const { artifacts } = await openForTest();
  await artifacts.put('inputs/a.png', Buffer.from('0123456789'));
  const send = await artifacts.sender?.('inputs/a.png', { start: 2, end: 4 });
  const sink = new PassThrough();
  await send?.(sink);
  expect((await buffer(sink)).toString()).toBe('234');
});

it('are not written to for the removal of a large one, nor for one that is gone', async () => {
  const { root, ledger } = await openForTest();
  const removed: string[] = [];
  const watched = storeSmallApart(
    createFileArtifacts(join(root, 'files')),
    {
      ...ledger.smallArtifacts,
      async remove(key) {
        removed.push(key);
        await ledger.smallArtifacts.remove(key);
      },
    },
    { prefix: 'inputs', adds: true },
  );
  await watched.put('inputs/large.png', randomBytes(20_000));
  await watched.put('inputs/small.png', randomBytes(20));
  for (const key of ['inputs/large.png', 'inputs/small.png', 'inputs/small.png', 'inputs/none.png']) {
    await watched.remove(key);
    expect(await watched.size(key)).toBeNull();
  }
  expect(removed).toEqual(['inputs/small.png']);
});
