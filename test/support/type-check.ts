import { execFile } from 'node:child_process';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const MODULES = fileURLToPath(new URL('../node_modules', import.meta.url));
/** TypeScript's compiler. */
export const TSC = fileURLToPath(
  new URL('../../tools/check/node_modules/typescript/bin/tsc', import.meta.url),
);

/** Makes the packages of the tests those of a folder outside of the project. */
export async function linkModules(folder: string): Promise<void> {
  await symlink(MODULES, join(folder, 'node_modules'), 'dir');
}

/** What TypeScript finds wrong with all files below a folder with `node_modules`, with all strict checks; '' if nothing. */
export async function typeErrorsIn(folder: string): Promise<string> {
  const compilerOptions = {
    target: 'es2024',
    module: 'esnext',
    moduleResolution: 'bundler',
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
  return promisify(execFile)(process.execPath, [TSC, '-p', folder]).then(
    () => '',
    error => String(error.stdout),
  );
}
