import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { qwenEdit, type Ran } from '../support/clients/cli.ts';

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
  // Has Node say what it does with each module.
  const settings = { XDG_CACHE_HOME: caches, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
  const [first, second] = [await qwenEdit(['--version'], settings), await qwenEdit(['--version'], settings)];
  expect([first.code, second.code]).toEqual([0, 0]);
  expect(modulesIn(first, /code cache for ESM (\S+) was accepted/g)).toEqual([]);
  const written = modulesIn(first, /writing cache for ESM (\S+) to temporary/g);
  expect(written.some(module => module.includes('/server/'))).toBe(true);
  expect(modulesIn(second, /code cache for ESM (\S+) was accepted/g)).toEqual(written);
});

function modulesIn({ out, err }: Ran, message: RegExp): string[] {
  return [...(out + err).matchAll(message)].map(([, module = '']) => module).sort();
}
