import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Artifacts } from '../../jobs/ports.ts';

const PART = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
const KEY_LENGTH_LIMIT = 512;

/**
 * Artifacts as files below `root`. A file appears under its name only when it is whole and on the disk: it is
 * written beside, flushed, then renamed. Throws a TypeError for a key that is not of the port's form, so no key
 * can lead out of `root`.
 */
export function createFileArtifacts(root: string): Artifacts {
  const path = (key: string): string => join(root, ...partsOf(key));

  return {
    async put(key, source) {
      const target = path(key);
      await mkdir(dirname(target), { recursive: true });
      const draft = `${target}.${randomUUID()}.part`;
      try {
        const input = source instanceof Uint8Array ? Readable.from([source]) : source;
        await pipeline(input, createWriteStream(draft, { flush: true }));
        const { size } = await stat(draft);
        await rename(draft, target);
        return size;
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
    },
    async get(key, range) {
      try {
        // Opened first, so that a file that goes away meanwhile is still read to its end.
        const handle = await open(path(key), 'r');
        return createReadStream('', { fd: handle, ...(range ?? {}) });
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    async size(key) {
      try {
        const { size } = await stat(path(key));
        return size;
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    async remove(key) {
      await rm(path(key), { force: true });
    },
    async list(prefix) {
      const folder = prefix === '' ? root : path(prefix);
      const found: { key: string; bytes: number }[] = [];
      for (const file of await filesBelow(folder)) {
        if (file.endsWith('.part')) continue;
        const { size } = await stat(file);
        found.push({ key: relative(root, file).split(sep).join('/'), bytes: size });
      }
      return found.sort((a, b) => (a.key < b.key ? -1 : 1));
    },
  };
}

async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function partsOf(key: string): string[] {
  const parts = key.split('/');
  if (key.length > KEY_LENGTH_LIMIT || !parts.every(part => PART.test(part))) {
    throw new TypeError(`Not an artifact key: ${JSON.stringify(key.slice(0, 80))}`);
  }
  return parts;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
