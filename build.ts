import { spawnSync } from 'node:child_process';
import { cp, glob, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/**
 * Makes `dist`, what the package has instead of `src`: the program as JavaScript, the types of its client, and the JSON
 * that it reads from beside its modules.
 */

const root = fileURLToPath(new URL('.', import.meta.url));
process.chdir(root);

// What is no longer made would be published all the same.
await rm('dist', { recursive: true, force: true });
for (const project of ['tsconfig.build.json', 'tsconfig.types.json']) {
  const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
}
for await (const file of glob('src/**/*.json')) await cp(file, file.replace('src', 'dist'));
