import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BUNDLES, isBuilt } from './built.js';

// What `npm start` runs: builds the pages and the bundle of the gateway if a source is newer, then runs the bundle in this
// process, since another one would take a tenth of the start. Without dev dependencies it runs newer sources as they are.
// Exits with the code of a build that fails. Plain JavaScript, because removing types takes Node 25 ms.

const root = fileURLToPath(new URL('.', import.meta.url));

let current = isBuilt();
if (!current && existsSync(`${root}node_modules/vite`)) {
  const { spawnSync } = await import('node:child_process');
  // Not in this process, which would keep the memory of the bundler.
  const { status } = spawnSync(process.execPath, [`${root}build-start.ts`], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  current = isBuilt();
}
await import(current ? `./${BUNDLES}/main.js` : './src/main.ts');
