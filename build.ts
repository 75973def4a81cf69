import { spawnSync } from 'node:child_process';
import { cp, glob, readdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { buildPages, isStale } from './build-pages.ts';
import { installPackages } from './install.ts';

/**
 * Makes `dist`, what the package has instead of `src`: the program as JavaScript, the types of its client, the JSON
 * that it reads from beside its modules, and the pages for browsers.
 */

const root = fileURLToPath(new URL('.', import.meta.url));
/** The pages, and what `npm start` runs, which is not published. */
const KEPT = ['pages', 'server', 'built'];
const TSC = 'tools/check/node_modules/typescript/bin/tsc';
process.chdir(root);

// The compiler, and the types of what some gateways use.
await installPackages(['tools/check', 'src/adapters/s3', 'src/telemetry/otlp']);
// What is no longer made would be published all the same.
const made = (await readdir('dist').catch(() => [])).filter(name => !KEPT.includes(name));
for (const name of made) await rm(`dist/${name}`, { recursive: true });
// The types of the program are checked by `npm run typecheck`, which takes several times as long as making the JavaScript.
for (const words of [['tsconfig.build.json', '--noCheck'], ['tsconfig.types.json']]) {
  const { status } = spawnSync(process.execPath, [TSC, '-p', ...words], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
}
const data = glob('src/**/*.json', { exclude: ['src/studio', '**/node_modules', '**/package*.json'] });
for await (const file of data) {
  await cp(file, file.replace('src', 'dist'));
}
if (isStale()) await buildPages();
