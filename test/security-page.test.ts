import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const page = readFileSync(new URL('../docs/security.md', import.meta.url), 'utf8');
const files = readdirSync(new URL('.', import.meta.url), { recursive: true }).map(
  path => `test/${String(path).replaceAll('\\', '/')}`,
);

/** The rows of the table of promises: what is promised, and the tests that it names. */
const rows = page.split('\n').flatMap(line => {
  const [, promise, tests] = /^\| (.+) \| ((?:`[^`]+`(?:, )?)+) \|$/.exec(line) ?? [];
  if (promise === undefined || tests === undefined) return [];
  return [{ promise, tests: [...tests.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name) }];
});

it('names tests that are there, each by a name that only one has', () => {
  expect(rows.length).toBeGreaterThan(15);
  for (const { promise, tests } of rows) {
    for (const name of tests) {
      const found = files.filter(path => path === name || path.endsWith(`/${name}`));
      expect(found, `${name}, for: ${promise}`).toHaveLength(1);
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
  const config = readFileSync(new URL('../src/config.ts', import.meta.url), 'utf8');
  const names = [...page.matchAll(/`([A-Z][A-Z_]{3,})(?:=[^`]*)?`/g)].map(([, name = '']) => name);
  const known = names.filter(name => !['HSTS', 'FUZZ_RUNS'].includes(name));
  expect(known.length).toBeGreaterThan(10);
  for (const name of known) expect(config, name).toContain(`  ${name}: `);
});
