import { type FSWatcher, watch } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** An editor writes a file in several steps: what follows within this many milliseconds counts as one change. */
const SETTLE_MS = 150;

export interface FolderWatch {
  stop(): void;
}

export interface FolderWatchOptions {
  /** The folder of folders to look at; both levels are watched. */
  readonly dir: string;
  /** Called once for each change that has settled. */
  onChange(): void;
  /** Called when watching is not possible, as where the system allows no more watches. */
  onError(error: Error): void;
}

/**
 * Watches a folder and the folders right below it. Each level has a watch of its own, because the recursive one of
 * `node:fs` loses files that are replaced by a rename, which is how many editors save.
 */
export function watchFolders({ dir, onChange, onError }: FolderWatchOptions): FolderWatch {
  const watches = new Map<string, FSWatcher>();
  let timer: NodeJS.Timeout | null = null;
  let stopped = false;

  function add(path: string): void {
    if (stopped || watches.has(path)) return;
    try {
      const watching = watch(path, changed);
      watches.set(path, watching);
      watching.on('error', error => {
        drop(path);
        // A folder that went away takes its watch along: nothing is wrong with that.
        if (path === dir) onError(error);
      });
    } catch (error) {
      onError(error instanceof Error ? error : new Error(String(error)));
    }
  }

  function drop(path: string): void {
    watches.get(path)?.close();
    watches.delete(path);
  }

  async function follow(): Promise<void> {
    const entries = await readdir(dir, { withFileTypes: true });
    const folders = entries.filter(entry => !entry.isFile()).map(({ name }) => join(dir, name));
    for (const path of watches.keys()) if (path !== dir && !folders.includes(path)) drop(path);
    for (const path of folders) add(path);
  }

  function changed(): void {
    if (stopped) return;
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      // A folder that was removed and made again has the same name and another watch.
      for (const path of watches.keys()) if (path !== dir) drop(path);
      follow().then(onChange, onError);
    }, SETTLE_MS);
  }

  add(dir);
  follow().catch(onError);
  return {
    stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
      for (const path of [...watches.keys()]) drop(path);
    },
  };
}
