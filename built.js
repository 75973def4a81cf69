import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// Plain JavaScript without node:crypto, because each start loads it: removing types takes Node 25 ms, crypto 8 ms.

const root = fileURLToPath(new URL('.', import.meta.url));
/** The programs as they are run, from the root. */
export const BUNDLES = 'dist/server';
/** Written last: a copy of the lock file that names the packages which are built in, with the time when the build began. */
export const STAMP = 'dist/built';
/** The lock file of the packages. */
export const LOCK = 'package-lock.json';
const SOURCES = ['src', 'pages', 'build-into.ts', 'build-pages.ts', 'build-server.ts', 'build-start.ts'];
const BUILT = [STAMP, `${BUNDLES}/main.js`, 'dist/pages/graphiql/index.html'];

/** Whether the bundles and the pages that gateways serve are built, and no source has changed since. */
export function isBuilt() {
  if (!BUILT.every(file => existsSync(root + file))) return false;
  // By content, because `npm prune` writes the lock file again.
  if (!readFileSync(root + STAMP).equals(readFileSync(root + LOCK))) return false;
  const built = statSync(root + STAMP).mtimeMs;
  return SOURCES.every(name => isOlder(root + name, built));
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
