import { type FSWatcher, watch } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Editors write a file in several steps: events that follow each other within this many milliseconds are one change. */
const SETTLE_MS = 150;

export interface FolderWatchOptions {
  /** The folder whose files and subfolders are watched, one level deep. */
  readonly dir: string;
  /** Called once for each change that has settled. */
  onChange(): void;
  /** Called when watching fails, for example because the system allows no more watches. */
  onError(error: Error): void;
}

/**
 * Watches a folder and its direct subfolders. Each has a watch of its own, because the recursive one of `node:fs` loses
 * files that are replaced by a rename, which is how many editors save.
 */
export function watchFolders({ dir, onChange, onError }: FolderWatchOptions): { stop(): void } {
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
        // The watch of a removed subfolder may fail; the change itself is reported by the watch of `dir`.
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

  async function addSubfolders(): Promise<void> {
    const entries = await readdir(dir, { withFileTypes: true });
    for (const entry of entries) if (!entry.isFile()) add(join(dir, entry.name));
  }

  function changed(): void {
    if (stopped) return;
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      // A subfolder that was removed and created again has the same name but needs a new watch.
      for (const path of watches.keys()) if (path !== dir) drop(path);
      addSubfolders().then(onChange, onError);
    }, SETTLE_MS);
  }

  add(dir);
  addSubfolders().catch(onError);
  return {
    stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
      for (const path of [...watches.keys()]) drop(path);
    },
  };
}
