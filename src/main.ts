import { cacheCompiledCode } from './compile-cache.ts';

cacheCompiledCode(process.env);
// Imported dynamically, because static imports come before the cache.
const { serve } = await import('./serve.ts');

const exitCode = await serve(process.env);
if (exitCode !== null) process.exit(exitCode);
