import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

it('docs/dependencies.md has a reason for each package that is installed for running, and no others', () => {
  const { dependencies, peerDependencies, optionalDependencies = {} } = JSON.parse(read('package.json'));
  const rows = read('docs/dependencies.md').match(/^\| `.*$/gm) ?? [];
  const named = rows.flatMap(row =>
    [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
  const installed = { ...dependencies, ...peerDependencies, ...optionalDependencies };
  expect(named.toSorted()).toEqual(Object.keys(installed).toSorted());
  for (const row of rows) expect(row.split('|').map(cell => cell.trim())[2]).not.toBe('');
});
