import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createFileArtifacts } from '../../src/adapters/files/artifacts.ts';
import { StoreUnavailable } from '../../src/jobs/errors.ts';
import type { Artifacts } from '../../src/jobs/ports.ts';
import { createLeftovers } from '../../src/jobs/submit.ts';

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

it('are removed now, or when the store is back', async () => {
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

it('are forgotten once they are gone, so that nothing of the same name goes later', async () => {
  const leftovers = createLeftovers(artifacts);
  fault = new StoreUnavailable('away', 'ECONNREFUSED');
  await leftovers.remove(['a']);
  fault = null;
  await leftovers.sweep();
  await artifacts.put('a', Buffer.from('again'));
  await leftovers.sweep();
  expect(await keys()).toEqual(['a', 'b', 'c']);
});

it('are told of when they cannot be removed for another reason', async () => {
  fault = new TypeError('our fault');
  await expect(createLeftovers(artifacts).remove(['a'])).rejects.toThrow('our fault');
});
