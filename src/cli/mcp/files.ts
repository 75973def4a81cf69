import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';

/** Bytes of a file at most: more than a gateway accepts by default. */
const FILE_BYTES = 64 * 1024 * 1024;

export type FileRead = { ok: true; bytes: Uint8Array<ArrayBuffer> } | { ok: false; message: string };

/**
 * Reads image files for an assistant, which may name any path: only regular files below `directories`, where symbolic
 * links lead, too, and only what begins like a JPEG, PNG or WebP.
 */
export function createFileReader(directories: readonly string[]): (path: string) => Promise<FileRead> {
  return async path => {
    if (directories.length === 0) {
      return fault(path, 'local files are not accepted: start qwen-edit mcp with --directory <directory>');
    }
    try {
      const roots = await Promise.all(directories.map(directory => realpath(directory)));
      const candidates = roots.map(root => resolve(root, path));
      const found = await firstThatExists(candidates);
      // One message for both, which does not tell what else is on the disk.
      if (found === null || !roots.some(root => isBelow(root, found))) {
        return fault(path, `no such file below ${directories.join(', ')}`);
      }
      // A link that replaced the file meanwhile is not followed, and a pipe does not block.
      const file = await open(found, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        const stats = await file.stat();
        if (!stats.isFile()) return fault(path, 'is not a file');
        if (stats.size > FILE_BYTES) return fault(path, `has ${stats.size} bytes, more than ${FILE_BYTES}`);
        const bytes = new Uint8Array(await file.readFile());
        return isImage(bytes) ? { ok: true, bytes } : fault(path, 'is not a JPEG, PNG or WebP image');
      } finally {
        await file.close();
      }
    } catch (error) {
      const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
      return fault(path, `cannot be read: ${reason}`);
    }
  };
}

function fault(path: string, message: string): FileRead {
  return { ok: false, message: `${path.slice(0, 200)}: ${message}` };
}

async function firstThatExists(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    const found = await realpath(path).catch(() => null);
    if (found !== null) return found;
  }
  return null;
}

function isBelow(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** By the first bytes of the three formats. */
function isImage(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.subarray(0, 12)).toString('latin1');
  return /^(?:\xff\xd8\xff|\x89PNG|RIFF.{4}WEBP)/s.test(start);
}
