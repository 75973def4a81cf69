import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { needRequests, runPython } from '../support/clients/python.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { plainImage } from '../support/images.ts';

const ADDRESS = 'http://localhost:8189';
const INSTALL_MS = 180_000;

let rig: Rig;
let folder: string;
let programs: readonly string[];
beforeAll(async () => {
  [rig, folder] = await Promise.all([startRig(), mkdtemp(join(tmpdir(), 'python-')), needRequests()]);
  const page = await readFile(new URL('../../docs/python.md', import.meta.url), 'utf8');
  programs = [...page.matchAll(/^```python\n(.*?)^```/gms)].map(([, program = '']) => program);
  await writeFile(join(folder, 'photo.jpg'), await plainImage().jpeg().toBuffer());
}, INSTALL_MS);
afterAll(async () => {
  await rig.close();
  await rm(folder, { recursive: true });
});

it('the program of docs/python.md for the standard library edits a file with live progress', async () => {
  const [program = ''] = programs;
  await writeFile(join(folder, 'program.py'), program.replace(ADDRESS, rig.url));
  const lines = (await runPython(['program.py'], { cwd: folder })).trim().split('\n');
  expect(lines[0]).toMatch(/^(queued|processing) /);
  expect(lines.at(-1)?.trim()).toBe('completed 100');
  expect(await sharp(await readFile(join(folder, 'edited.png'))).metadata()).toMatchObject({ format: 'png' });
});

it('every program of docs/python.md is valid Python with the address of the documentation', async () => {
  expect(programs.length).toBe(3);
  for (const program of programs) {
    expect(program).toContain(ADDRESS);
    await writeFile(join(folder, 'checked.py'), program);
    await runPython(['-c', 'compile(open("checked.py").read(), "checked.py", "exec")'], { cwd: folder });
  }
});
