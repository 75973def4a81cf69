import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Has Node cache the compiled code of modules that are imported from here on: reading and compiling them is half of the
 * start. The folder belongs to this user, because its content is executed. Node skips the cache when the folder is not
 * writable or NODE_DISABLE_COMPILE_CACHE is set.
 */
export function cacheCompiledCode(environment: NodeJS.ProcessEnv): void {
  const caches = environment.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  enableCompileCache(environment.NODE_COMPILE_CACHE ?? join(caches, 'qwen-edit-gateway'));
}
