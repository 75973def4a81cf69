import { randomUUID } from 'node:crypto';
import { createReadStream, type Dirent } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Artifacts } from '../../jobs/ports.ts';
import { partsOfKey } from '../artifact-key.ts';

const DRAFT = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.part$/;
const OPEN_ATTEMPTS = 5;

/**
 * Artifacts as files below `root`. A file appears under its name only when it is whole and on the disk: it is
 * written beside, flushed, then renamed. Folders come with their first file and go with their last. Throws a
 * TypeError for a key that is not of the port's form, so no key can lead out of `root`.
 */
export function createFileArtifacts(root: string): Artifacts {
  const path = (key: string): string => join(root, ...partsOfKey(key));

  return {
    async put(key, source) {
      const input = source instanceof Uint8Array ? Readable.from([source]) : source;
      // Told to whoever reads it; until somebody does, an error is no reason to end the process.
      input.once('error', () => undefined);
      try {
        return await store(path(key), input);
      } finally {
        input.destroy();
      }
    },
    async get(key, range) {
      try {
        // Opened first, so that a file that goes away meanwhile is still read to its end.
        const handle = await open(path(key), 'r');
        if ((await handle.stat()).isFile()) return createReadStream('', { fd: handle, ...(range ?? {}) });
        await handle.close();
        return null;
      } catch (error) {
        if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
        throw error;
      }
    },
    async size(key) {
      return sizeOf(path(key));
    },
    async remove(key) {
      const parts = partsOfKey(key);
      await rm(join(root, ...parts), { force: true });
      for (let depth = parts.length - 1; depth > 0; depth -= 1) {
        if (!(await removeEmpty(join(root, ...parts.slice(0, depth))))) return;
      }
    },
    async list(prefix) {
      const folder = prefix === '' ? root : path(prefix);
      const found: { key: string; bytes: number }[] = [];
      for (const file of await filesBelow(folder)) {
        const bytes = DRAFT.test(file) ? null : await sizeOf(file);
        if (bytes !== null) found.push({ key: relative(root, file).split(sep).join('/'), bytes });
      }
      return found.sort((a, b) => (a.key < b.key ? -1 : 1));
    },
  };
}

async function store(target: string, input: Readable): Promise<number> {
  const draft = `${target}.${randomUUID()}.part`;
  const handle = await openDraft(draft);
  try {
    await pipeline(input, handle.createWriteStream({ flush: true }));
    const { size } = await stat(draft);
    await rename(draft, target);
    return size;
  } catch (error) {
    await rm(draft, { force: true });
    await removeEmpty(dirname(draft));
    throw error;
  }
}

/** Again when the folder was removed, with its last file, between its making and the draft's. */
async function openDraft(draft: string): Promise<FileHandle> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await mkdir(dirname(draft), { recursive: true });
      return await open(draft, 'wx');
    } catch (error) {
      if (!hasCode(error, 'ENOENT') || attempt === OPEN_ATTEMPTS) throw error;
    }
  }
}

/** False when there is something in the folder, or it is no folder. */
async function removeEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) return false;
    throw error;
  }
}

/** Null when there is no file of that name. */
async function sizeOf(file: string): Promise<number | null> {
  try {
    const found = await stat(file);
    return found.isFile() ? found.size : null;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
}

/** One folder at a time: one that goes away meanwhile takes only itself from the list. */
async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) files.push(...(await filesBelow(path)));
    else if (entry.isFile()) files.push(path);
  }
  return files;
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
