import { hash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// Plain JavaScript, because `npm start` loads it, and removing types takes Node 25 ms.

const root = fileURLToPath(new URL('.', import.meta.url));
/** What `npm start` runs, from the root. */
export const BUNDLE = 'dist/server/main.js';
/** Written after everything else is built: when that began, and of which packages. */
export const STAMP = 'dist/built';
const SOURCES = ['src', 'pages', 'build-pages.ts', 'build-server.ts', 'build-start.ts'];
const BUILT = [STAMP, BUNDLE, 'dist/pages/graphiql/index.html'];

/** Whether all that `npm start` serves and runs is built, and no source has changed since. */
export function isBuilt() {
  if (!BUILT.every(file => existsSync(root + file))) return false;
  if (readFileSync(root + STAMP, 'utf8') !== hashOfLock()) return false;
  const built = statSync(root + STAMP).mtimeMs;
  return SOURCES.every(name => isOlder(root + name, built));
}

/** Of the packages that are built in. By the content of the lock file, because `npm prune` writes it again. */
export function hashOfLock() {
  return hash('sha256', readFileSync(`${root}package-lock.json`));
}

function isOlder(path, time) {
  const stats = statSync(path);
  if (!stats.isDirectory()) return stats.mtimeMs <= time;
  return readdirSync(path, { withFileTypes: true }).every(entry => {
    // The packages of folders with a lock file of their own, which is beside them.
    if (entry.name === 'node_modules') return true;
    const inside = `${path}/${entry.name}`;
    return entry.isDirectory() ? isOlder(inside, time) : statSync(inside).mtimeMs <= time;
  });
}
