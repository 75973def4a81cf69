import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { openArtifacts } from '../../../src/adapters/artifacts.ts';
import { recordLog } from '../../support/log.ts';
import { artifactsContract } from '../contract/artifacts-contract.ts';

async function openInFolder() {
  return openIn(await mkdtemp(join(tmpdir(), 'artifacts-')));
}

async function openIn(root: string) {
  const { artifacts, close } = await openArtifacts({
    location: { kind: 'files', root },
    signedUrls: true,
    now: Date.now,
    log: recordLog(),
  });
  return {
    root,
    artifacts,
    async close() {
      await close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

artifactsContract('files', openInFolder);

it('removes folders with their last file, but never the root', async () => {
  const { root, artifacts, close } = await openInFolder();
  await artifacts.put('outputs/1/a', Buffer.from('x'));
  await artifacts.put('outputs/1/b', Buffer.from('x'));
  await artifacts.remove('outputs/1/a');
  expect(await readdir(join(root, 'outputs'))).toEqual(['1']);
  await artifacts.remove('outputs/1/b');
  expect(await readdir(root)).toEqual([]);
  await artifacts.put('outputs/1/a', Buffer.from('x'));
  expect(await artifacts.size('outputs/1/a')).toBe(1);
  await close();
});

it('does not list drafts of killed writers', async () => {
  const { root, artifacts, close } = await openInFolder();
  await mkdir(join(root, 'outputs'));
  await writeFile(join(root, 'outputs', `1.png.${crypto.randomUUID()}.part`), 'half');
  expect(await artifacts.list('')).toEqual([]);
  await close();
});

it('removes drafts at the start that are a day old, and no newer ones', async () => {
  const root = await mkdtemp(join(tmpdir(), 'artifacts-'));
  const old = join(root, 'uploads', '1', `picture.${crypto.randomUUID()}.part`);
  const living = join(root, 'uploads', '2', `picture.${crypto.randomUUID()}.part`);
  const picture = join(root, 'outputs', '1.part');
  for (const file of [old, living, picture]) {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, 'half');
  }
  const longAgo = Date.now() / 1000 - 25 * 3600;
  for (const file of [old, picture]) await utimes(file, longAgo, longAgo);
  await utimes(living, longAgo, Date.now() / 1000 - 23 * 3600);
  const { close } = await openIn(root);
  await expect.poll(() => readdir(join(root, 'uploads'))).toEqual(['2']);
  expect(await readdir(dirname(living))).toHaveLength(1);
  expect(await readdir(dirname(picture))).toEqual(['1.part']);
  await close();
});

it('has no signed URLs', async () => {
  const { artifacts, close } = await openInFolder();
  expect(artifacts.signedUrl).toBeUndefined();
  await close();
});
