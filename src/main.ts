import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// Half of a start is reading and compiling modules: what came of it is kept for the next one, in a folder of this user's
// own, because whoever could write there could have us run theirs. Where it cannot be written, or
// NODE_DISABLE_COMPILE_CACHE is set, each start does it anew. Only what is imported from here on is kept.
const caches = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
enableCompileCache(process.env.NODE_COMPILE_CACHE ?? join(caches, 'qwen-edit-gateway'));
const { serve } = await import('./serve.ts');

const failed = await serve(process.env);
if (failed !== null) process.exit(failed);
