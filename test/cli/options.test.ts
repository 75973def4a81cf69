import { describe, expect, it } from 'vitest';
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
