import { rm } from 'node:fs/promises';
import { resolve, sep } from 'node:path';

/**
 * Removes files that an engine wrote, where its output folder can be reached from here; ComfyUI itself has no way to
 * delete one. A folder that is not there, and a path that leads out of it, are passed over. Rejects when a file is
 * there and cannot be removed.
 */
export function createEngineOutput(folder: string): (enginePath: string) => Promise<void> {
  const root = resolve(folder);
  return async enginePath => {
    const file = resolve(root, enginePath);
    if (file.startsWith(`${root}${sep}`)) await rm(file, { force: true });
  };
}
