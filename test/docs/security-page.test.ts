import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { settings } from '../../src/config/settings.ts';

const page = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8');
const files = readdirSync(new URL('..', import.meta.url), { recursive: true }).map(
  path => `test/${String(path).replaceAll('\\', '/')}`,
);

/** A test that the page names: a file, and fragments of titles in it. */
interface Named {
  readonly file: string;
  readonly titles: readonly string[];
}

const ONE = '`[^`]+` “[^”]+”(?:, “[^”]+”)*';

/** The rows of the table of promises: what is promised, and the tests that it names. */
const rows = page.split('\n').flatMap(line => {
  const [, promise, tests] = new RegExp(`^\\| (.+) \\| (${ONE}(?:, ${ONE})*) \\|$`).exec(line) ?? [];
  return promise === undefined || tests === undefined ? [] : [{ promise, tests: namedIn(tests) }];
});

function namedIn(cell: string): Named[] {
  return [...cell.matchAll(new RegExp(ONE, 'g'))].map(([text]) => ({
    file: /`([^`]+)`/.exec(text)?.[1] ?? '',
    titles: [...text.matchAll(/“([^”]+)”/g)].map(([, title = '']) => title),
  }));
}

/** The titles of a file's tests and groups, as they are written there. */
function titlesIn(path: string): string[] {
  const source = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  const calls = /(?:\b(?:it|describe)(?:\.concurrent)?|\))\(\s*(['`])(.+?)\1,/g;
  return [...source.matchAll(calls)].map(([, , title = '']) => title);
}

it('names tests that are there, each file by a name that only one has', () => {
  expect(rows.length).toBeGreaterThan(15);
  for (const { promise, tests } of rows) {
    for (const { file, titles } of tests) {
      const found = files.filter(path => path === file || path.endsWith(`/${file}`));
      expect(found, `${file}, for: ${promise}`).toHaveLength(1);
      const there = found.flatMap(titlesIn);
      for (const title of titles) {
        expect(there, `${file}, for: ${promise}`).toContainEqual(expect.stringContaining(title));
      }
    }
  }
});

it('names a test for every promise', () => {
  const [, table = ''] = page.split('## Promises');
  const lines = table.split('\n## ')[0]?.split('\n') ?? [];
  const promised = lines.filter(line => line.startsWith('|') && !/^\| (promise|---)/.test(line));
  expect(promised).toHaveLength(rows.length);
});

it('names commands and settings that are there', () => {
  const names = [...page.matchAll(/`([A-Z][A-Z_]{3,})(?:=[^`]*)?`/g)].map(([, name = '']) => name);
  const known = names.filter(name => !['HSTS', 'FUZZ_RUNS'].includes(name));
  expect(known.length).toBeGreaterThan(10);
  for (const name of known) expect(Object.keys(settings), name).toContain(name);
});
