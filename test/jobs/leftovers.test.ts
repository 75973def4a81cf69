import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createFileArtifacts } from '../../src/adapters/files/artifacts.ts';
import { StoreUnavailable } from '../../src/jobs/errors.ts';
import type { Artifacts } from '../../src/jobs/image-stores.ts';
import { createLeftovers } from '../../src/jobs/submit/leftovers.ts';

let folder: string;
let artifacts: Artifacts;
let fault: Error | null;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leftovers-'));
  const files = createFileArtifacts(folder);
  fault = null;
  artifacts = {
    ...files,
    remove: key => (fault === null ? files.remove(key) : Promise.reject(fault)),
  };
  for (const key of ['a', 'b', 'c']) await artifacts.put(key, Buffer.from(key));
});
afterEach(() => rm(folder, { recursive: true }));

const keys = async (): Promise<string[]> => (await artifacts.list('')).map(({ key }) => key);

it('leftovers are removed at once, or when the store is available again', async () => {
  const leftovers = createLeftovers(artifacts);
  await leftovers.remove(['a']);
  expect(await keys()).toEqual(['b', 'c']);
  fault = new StoreUnavailable('away', 'ECONNREFUSED');
  await leftovers.remove(['b', 'none']);
  await leftovers.sweep();
  expect(await keys()).toEqual(['b', 'c']);
  fault = null;
  await leftovers.sweep();
  expect(await keys()).toEqual(['c']);
});

it('removed leftovers are forgotten, so that a later artifact with the same key stays', async () => {
  const leftovers = createLeftovers(artifacts);
  fault = new StoreUnavailable('away', 'ECONNREFUSED');
  await leftovers.remove(['a']);
  fault = null;
  await leftovers.sweep();
  await artifacts.put('a', Buffer.from('again'));
  await leftovers.sweep();
  expect(await keys()).toEqual(['a', 'b', 'c']);
});

it('leftovers that cannot be removed for another reason reject', async () => {
  fault = new TypeError('our fault');
  await expect(createLeftovers(artifacts).remove(['a'])).rejects.toThrow('our fault');
});
