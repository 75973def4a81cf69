import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { qwenEdit } from '../support/clients/cli.ts';

describe('a mistyped option', () => {
  it.each([
    ['edit', 'photo.jpg', '--promt', 'x'],
    ['workflows', 'new', '--form', 'graph.json'],
  ])('is named with the one that was meant: %s', async (...words) => {
    const { code, err } = await qwenEdit(words, {});
    expect(code).toBe(2);
    expect(err).toMatch(/unknown option '--(promt|form)'\n\(Did you mean --(prompt|from)\?\)/);
  });

  it.each([
    [['edit', 'photo.jpg'], '-p, --prompt <text>'],
    [['workflows', 'new'], '--from <file>'],
  ])('is not confused with a missing one: %j', async (words, flags) => {
    const { code, err } = await qwenEdit(words, {});
    expect(code).toBe(2);
    expect(err).toContain(`required option '${flags}' not specified`);
  });
});

it('the compiled code of a command is cached for the next one', async () => {
  const caches = await mkdtemp(join(tmpdir(), 'caches-'));
  onTestFinished(() => rm(caches, { recursive: true }));
  const { code } = await qwenEdit(['--version'], { XDG_CACHE_HOME: caches });
  expect(code).toBe(0);
  const folder = join(caches, 'qwen-edit-gateway');
  const [version = ''] = await readdir(folder);
  expect((await readdir(join(folder, version))).length).toBeGreaterThan(5);
});
