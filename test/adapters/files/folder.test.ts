import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createEngineOutput } from '../../../src/adapters/files/folder.ts';

it('removes an output file of an engine, and nothing outside its folder', async () => {
  const root = await mkdtemp(join(tmpdir(), 'output-'));
  const output = join(root, 'output');
  await mkdir(join(output, 'QwenEdit'), { recursive: true });
  await writeFile(join(output, 'QwenEdit', 'api_1.png'), 'x');
  await writeFile(join(root, 'secret'), 'x');
  const remove = createEngineOutput(output);
  await remove('QwenEdit/api_1.png');
  await remove('QwenEdit/never.png');
  await remove('../secret');
  await remove('/etc/hostname');
  expect(await readdir(join(output, 'QwenEdit'))).toEqual([]);
  expect(await readdir(root)).toContain('secret');
  await createEngineOutput(join(root, 'nowhere'))('QwenEdit/api_1.png');
  await rm(root, { recursive: true });
});
