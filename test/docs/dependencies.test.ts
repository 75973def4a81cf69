import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

interface Locked {
  readonly dependencies?: Record<string, string>;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
  readonly peer?: boolean;
}

const page = read('docs/dependencies.md');
const manifest = JSON.parse(read('package.json'));
const locked: Record<string, Locked> = JSON.parse(read('package-lock.json')).packages;

/** The names in each cell of the rows whose first cell has names. */
const rows = (page.match(/^\| `.*$/gm) ?? []).map(row =>
  row
    .split('|')
    .slice(1, -1)
    .map(cell => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)),
);
const isBrought = ([, brought = []]: string[][]): boolean => brought.some(name => nameless.has(name));

/** What `npm ci --omit=dev` installs on every system, once for each version. */
const installed = Object.entries(locked)
  .filter(
    ([path, { dev, devOptional, optional, peer }]) =>
      path !== '' && !(dev || devOptional || optional || peer),
  )
  .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
const nameless = new Set(installed.filter(name => !(name in manifest.dependencies)));

it('docs/dependencies.md has a reason for each package that is installed for running, and no others', () => {
  const named = rows.filter(row => !isBrought(row)).flatMap(([names = []]) => names);
  const { dependencies, peerDependencies, optionalDependencies = {} } = manifest;
  const wanted = { ...dependencies, ...peerDependencies, ...optionalDependencies };
  expect(named.toSorted()).toEqual(Object.keys(wanted).toSorted());
  for (const row of page.match(/^\| `.*$/gm) ?? []) expect(row.split('|')[2]?.trim()).not.toBe('');
});

it('docs/dependencies.md says which of them brings each of the other packages', () => {
  const brought = rows.filter(isBrought);
  expect(brought.flatMap(([, names = []]) => names).toSorted()).toEqual([...nameless].toSorted());
  for (const [by = [], names = []] of brought) {
    for (const name of by) expect([...broughtBy(name)]).toEqual(expect.arrayContaining(names));
  }
});

it('no more than 120 packages are installed for running', () => {
  // sharp adds its binary and libvips for the system.
  expect(installed.length + 2).toBeLessThanOrEqual(120);
});

function broughtBy(name: string, found = new Set<string>()): Set<string> {
  for (const next of Object.keys(locked[`node_modules/${name}`]?.dependencies ?? {})) {
    if (found.has(next)) continue;
    found.add(next);
    broughtBy(next, found);
  }
  return found;
}
