import { cacheCompiledCode } from '../compile-cache.ts';

cacheCompiledCode(process.env);
// Imported dynamically, because static imports come before the cache.
const { runProgram } = await import('./program.ts');

process.exitCode = await runProgram(process.argv.slice(2));
