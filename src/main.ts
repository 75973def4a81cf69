import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// Reading and compiling modules is half of the start, so cache the compiled code. The folder belongs to this user,
// because its content is executed. Node skips the cache when the folder is not writable or NODE_DISABLE_COMPILE_CACHE is
// set. The cache covers only modules that are imported from here on, hence the dynamic import.
const caches = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
enableCompileCache(process.env.NODE_COMPILE_CACHE ?? join(caches, 'qwen-edit-gateway'));
const { serve } = await import('./serve.ts');

const exitCode = await serve(process.env);
if (exitCode !== null) process.exit(exitCode);
