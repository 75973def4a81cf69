import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openArtifacts } from '../../src/adapters/artifacts.ts';
import { artifactsContract } from '../contract/artifacts-contract.ts';

async function openInFolder() {
  const root = await mkdtemp(join(tmpdir(), 'artifacts-'));
  const { artifacts, close } = await openArtifacts({
    location: { kind: 'files', root },
    signedUrls: true,
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

it('takes the folders away with their last file, and the root never', async () => {
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

it('does not list what a writer that was killed has left', async () => {
  const { root, artifacts, close } = await openInFolder();
  await mkdir(join(root, 'outputs'));
  await writeFile(join(root, 'outputs', `1.png.${crypto.randomUUID()}.part`), 'half');
  expect(await artifacts.list('')).toEqual([]);
  await close();
});

it('has no URLs to hand out', async () => {
  const { artifacts, close } = await openInFolder();
  expect(artifacts.signedUrl).toBeUndefined();
  await close();
});
