import { hash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// What `npm start` runs: builds the pages and the bundle of the gateway if a source is newer, then runs the bundle in this
// process, since another one would take a tenth of the start. Without dev dependencies it runs newer sources as they are.
// Exits with the code of a build that fails. Plain JavaScript, because removing types takes Node 25 ms.

const root = fileURLToPath(new URL('.', import.meta.url));
const BUNDLE = 'dist/server/main.js';
const SOURCES = ['src', 'pages', 'build-pages.ts', 'build-server.ts', 'build-start.ts'];
const BUILT = ['dist/built', BUNDLE, 'dist/pages/graphiql/index.html'];

if (!isCurrent() && existsSync(`${root}node_modules/vite`)) {
  const { spawnSync } = await import('node:child_process');
  // Not in this process, which would keep the memory of the bundler.
  const { status } = spawnSync(process.execPath, [`${root}build-start.ts`], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
await import(isCurrent() ? `./${BUNDLE}` : './src/main.ts');

/** Whether everything is built and no source has changed since. */
function isCurrent() {
  if (!BUILT.every(file => existsSync(root + file))) return false;
  // By its content, because `npm prune` writes it again.
  const lock = hash('sha256', readFileSync(`${root}package-lock.json`));
  if (readFileSync(`${root}dist/built`, 'utf8') !== lock) return false;
  const built = statSync(`${root}dist/built`).mtimeMs;
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
