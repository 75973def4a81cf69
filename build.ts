import { spawnSync } from 'node:child_process';
import { cp, glob, readdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { buildStudio, isStale } from './build-studio.ts';

/**
 * Makes `dist`, what the package has instead of `src`: the program as JavaScript, the types of its client, the JSON
 * that it reads from beside its modules, and the Studio page.
 */

const root = fileURLToPath(new URL('.', import.meta.url));
process.chdir(root);

// What is no longer made would be published all the same.
const made = (await readdir('dist').catch(() => [])).filter(name => name !== 'studio');
for (const name of made) await rm(`dist/${name}`, { recursive: true });
for (const project of ['tsconfig.build.json', 'tsconfig.types.json']) {
  const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
}
for await (const file of glob('src/**/*.json', { exclude: ['src/studio'] })) {
  await cp(file, file.replace('src', 'dist'));
}
if (isStale()) await buildStudio();
