import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const pages = readdirSync(new URL('docs/', root)).filter(name => name.endsWith('.md'));

it('the README links to every page of docs', () => {
  expect(pages.length).toBeGreaterThan(4);
  const readme = read('README.md');
  expect(pages.filter(page => !readme.includes(`](docs/${page}`))).toEqual([]);
});

it.each(['README.md', 'CONTRIBUTING.md', 'examples/README.md', ...pages.map(page => `docs/${page}`)])(
  'every file that %s links to is there',
  page => {
    const links = [...read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link = '']) => link);
    const missing = links.filter(
      link => !/^[a-z]+:/.test(link) && !existsSync(new URL(link, new URL(page, root))),
    );
    expect(missing).toEqual([]);
  },
);
