import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qwenEditOnTerminal, qwenEdit as run } from '../support/clients/cli.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';

let engine: TestEngine;
let rig: Rig;
let folder: string;
beforeAll(async () => {
  engine = await startTestEngine();
  rig = await startRig({ COMFYUI_URL: engine.url });
  folder = await mkdtemp(join(tmpdir(), 'cli-batches-'));
  const image = sharp({ create: { width: 64, height: 48, channels: 3, background: 'red' } });
  const bytes = await image.png().toBuffer();
  for (const name of ['a.png', 'b.png', 'c.png', 'd.png']) await writeFile(join(folder, name), bytes);
  await mkdir(join(folder, 'other'));
  await writeFile(join(folder, 'other', 'a.png'), bytes);
});
afterAll(async () => {
  await rig.close();
  await engine.stop();
  await rm(folder, { recursive: true });
});

const environment = () => ({ QWEN_EDIT_URL: rig.url });
const qwenEdit = (...words: string[]) => run(words, environment(), { cwd: folder });
const SMALL = ['--steps', '1', '--megapixels', '0.1', '-p', 'x'];

describe('qwen-edit edit with many images', () => {
  it('makes an edit of each, shows one bar over all, and saves each by the name of its image', async () => {
    const words = ['edit', 'a.png', 'b.png', 'c.png', 'other/a.png', ...SMALL, '-o', 'out'];
    const { code, screen } = await qwenEditOnTerminal(words, environment(), { cwd: folder });
    const text = stripVTControlCharacters(screen);
    expect([code, text]).toEqual([0, expect.stringContaining('Saved 4 images in out')]);
    expect(text).toContain('4 images: each is an edit of its own');
    expect(text).toMatch(/100\.0 % {2}4\/4 completed/);
    expect((await readdir(join(folder, 'out'))).toSorted()).toEqual(['a.png', 'a_2.png', 'b.png', 'c.png']);
    const { format } = await sharp(join(folder, 'out', 'b.png')).metadata();
    expect(format).toBe('png');
  });

  it('makes variations, and an edit of each of fewer images with --each', async () => {
    const made = await qwenEdit(
      'edit',
      'a.png',
      'b.png',
      '--each',
      '--variations',
      '2',
      ...SMALL,
      '-o',
      'more',
    );
    expect([made.code, made.err]).toEqual([0, expect.stringContaining('4/4 completed')]);
    const names = ['a-1.png', 'a-2.png', 'b-1.png', 'b-2.png'];
    expect((await readdir(join(folder, 'more'))).toSorted()).toEqual(names);
    const composed = await qwenEdit('edit', 'a.png', 'b.png', '--variations', '2', ...SMALL, '-o', 'both');
    expect(composed.code).toBe(0);
    expect((await readdir(join(folder, 'both'))).toSorted()).toEqual(['a-1.png', 'a-2.png']);
  });

  it('prints the id of the batch, which watch, cancel and retry take', async () => {
    await engine.fault({ failNode: { class: 'VAEDecode', message: 'broken' } });
    const failed = await qwenEdit('edit', 'a.png', 'b.png', '--each', ...SMALL, '--watch');
    await engine.fault({ failNode: null });
    const id = /qwen-edit retry (\S+)/.exec(failed.err)?.[1] ?? '';
    expect([failed.code, failed.err]).toEqual([
      1,
      expect.stringContaining('0 of 2 completed, 2 failed, 0 canceled'),
    ]);
    const retried = await qwenEdit('retry', id, '-o', 'again');
    expect([retried.code, retried.out]).toEqual([0, 'Saved 2 images in again\n']);

    await engine.fault({ stepMs: 300 });
    const submitted = await qwenEdit('edit', 'a.png', '--variations', '5', '--steps', '40', '-p', 'x');
    const batch = submitted.out.trim();
    expect([submitted.code, batch]).toEqual([0, expect.stringMatching(/^[0-9a-f-]{36}$/)]);
    const canceled = await qwenEdit('cancel', batch);
    expect([canceled.code, canceled.out]).toEqual([0, `${batch}  5 of 5 canceled\n`]);
    await engine.fault({ stepMs: 0 });
    const watched = await qwenEdit('watch', batch, '--json');
    const states = watched.out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    expect([watched.code, states.at(-1)]).toEqual([
      1,
      expect.objectContaining({ canceled: 5, ended: true, progress: 100 }),
    ]);
  });

  it.each([
    [['--out', '-'], 2, 'A batch has several images: --out <directory>'],
    [['--out', 'a.png'], 2, 'a.png is a file'],
    [['--out', 'x', '--open'], 2, '--open opens one image'],
    [['--variations', '0'], 2, '--variations'],
    [['--megapixels', '9'], 1, 'edits.0.megapixels takes a number from 0.1 to 4, got 9'],
  ])('rejects %j', async (words, code, message) => {
    const result = await qwenEdit('edit', 'a.png', 'b.png', '--each', '-p', 'x', ...words);
    expect([result.code, result.err]).toEqual([code, expect.stringContaining(message)]);
  });
});
