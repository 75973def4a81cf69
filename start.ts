import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isStale } from './build-pages.ts';

/**
 * What `npm start` runs: builds the pages for browsers if their sources are newer, then runs the gateway in this process, since
 * another one would take a tenth of the start. Exits with the code of a build that fails.
 */
if (isStale()) {
  const builder = fileURLToPath(new URL('build-pages.ts', import.meta.url));
  // Not in this process, which would keep the memory of the bundler.
  const { status } = spawnSync(process.execPath, [builder], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
await import('./src/main.ts');
