import {
  close,
  closeSync,
  createReadStream,
  fstat,
  fsync,
  mkdir,
  mkdirSync,
  open,
  openSync,
  renameSync,
  statSync,
  write,
  writeSync,
} from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { Artifacts, StoredArtifact } from '../../jobs/image-stores.ts';
import { partsOfKey } from '../artifacts-location.ts';
import { draftOf, isDraft } from './drafts.ts';
import { filesBelow, hasCode, removeEmpty, statFile } from './folder.ts';
import { sendFile } from './send-file.ts';

const OPEN_ATTEMPTS = 5;
/** Chunk of a read stream: fewer round trips to the thread pool than with Node's 64 KiB. A slow reader holds two. */
const READ_BYTES = 128 * 1024;

/** Files up to this size are written synchronously, apart from the flush: the thread pool would take longer. */
const SMALL_BYTES = 64 * 1024;

/**
 * Artifacts as files below `root`. A file gets its name only when it is complete: it is written as a draft, then
 * renamed. Once a `put` resolves, bytes and name survive a power cut. Folders are created with their first file and
 * removed with their last. Rejects with a TypeError for an invalid key, so that no key leads out of `root`.
 */
export function createFileArtifacts(root: string): Artifacts {
  const path = (key: string): string => join(root, ...partsOfKey(key));

  return {
    async put(key, source) {
      if (source instanceof Uint8Array) {
        if (source.byteLength <= SMALL_BYTES) return storeSmall(path(key), source);
        return store(path(key), draft => writeBytes(draft, source));
      }
      // The reader below gets the error. An error before it starts must not end the process.
      source.once('error', () => undefined);
      try {
        return await store(path(key), draft => writeStream(draft, source));
      } finally {
        source.destroy();
      }
    },
    async get(key, range) {
      // Open before returning, so that a file that is removed later can still be read to its end.
      const descriptor = await openToRead(path(key));
      if (descriptor === null) return null;
      return createReadStream('', { fd: descriptor, highWaterMark: READ_BYTES, ...(range ?? {}) });
    },
    async sender(key, range) {
      const file = path(key);
      const bytes = sizeOf(file);
      const descriptor = bytes === null ? null : await openToRead(file);
      if (bytes === null || descriptor === null) return null;
      return sink => sendFile(descriptor, range ?? { start: 0, end: bytes - 1 }, sink);
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
      const found: StoredArtifact[] = [];
      for (const file of await filesBelow(folder)) {
        const stats = isDraft(file) ? null : await statFile(file);
        if (stats === null) continue;
        const key = relative(root, file).split(sep).join('/');
        found.push({ key, bytes: stats.size, modifiedAt: Math.floor(stats.mtimeMs) });
      }
      return found.sort((a, b) => (a.key < b.key ? -1 : 1));
    },
  };
}

// Plain descriptors: a FileHandle makes a write 50 % slower, and every submit writes its images.
const fs = {
  close: promisify(close),
  sync: promisify(fsync),
  mkdir: promisify(mkdir),
  stat: promisify(fstat),
  open: promisify(open),
  write: promisify(write),
};

/**
 * `write` writes to the descriptor and resolves with the number of bytes. The flush after the rename covers bytes and
 * name, because the file systems of Linux log a rename with the renamed file. An existing file is replaced only by
 * bytes that were flushed before the rename.
 */
async function store(target: string, write: (descriptor: number) => Promise<number>): Promise<number> {
  const draft = draftOf(target);
  const descriptor = await openDraft(draft);
  let name = draft;
  try {
    try {
      const size = await write(descriptor);
      if (sizeOf(target) !== null) await fs.sync(descriptor);
      await rename(draft, target);
      name = target;
      await fs.sync(descriptor);
      return size;
    } finally {
      await fs.close(descriptor);
    }
  } catch (error) {
    await discard(name);
    throw error;
  }
}

/** As `store`, but synchronous apart from the flush, which waits for the disk. */
async function storeSmall(target: string, bytes: Uint8Array): Promise<number> {
  const draft = draftOf(target);
  const descriptor = openDraftSync(draft);
  let name = draft;
  try {
    try {
      for (let written = 0; written < bytes.byteLength; ) written += writeSync(descriptor, bytes, written);
      if (sizeOf(target) !== null) await fs.sync(descriptor);
      renameSync(draft, target);
      name = target;
      await fs.sync(descriptor);
      return bytes.byteLength;
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    await discard(name);
    throw error;
  }
}

async function discard(file: string): Promise<void> {
  await rm(file, { force: true });
  await removeEmpty(dirname(file));
}

/** Opens first and creates the folder only when it is missing, which is rare. */
function openDraftSync(draft: string): number {
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (attempt > 1) mkdirSync(dirname(draft), { recursive: true });
      return openSync(draft, 'wx');
    } catch (error) {
      if (attempt === OPEN_ATTEMPTS || !folderWentAway(error)) throw error;
    }
  }
}

async function writeBytes(descriptor: number, bytes: Uint8Array): Promise<number> {
  for (let written = 0; written < bytes.byteLength; ) {
    const { bytesWritten } = await fs.write(descriptor, bytes, written);
    written += bytesWritten;
  }
  return bytes.byteLength;
}

async function writeStream(descriptor: number, source: Readable): Promise<number> {
  let size = 0;
  for await (const given of source) {
    const chunk: Buffer = given;
    size += await writeBytes(descriptor, chunk);
  }
  return size;
}

/** Null when there is no such file. */
async function openToRead(file: string): Promise<number | null> {
  let descriptor: number;
  try {
    descriptor = await fs.open(file, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
  let isFile = false;
  try {
    isFile = (await fs.stat(descriptor)).isFile();
  } finally {
    if (!isFile) await fs.close(descriptor);
  }
  return isFile ? descriptor : null;
}

async function openDraft(draft: string): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await fs.mkdir(dirname(draft), { recursive: true });
      return await fs.open(draft, 'wx');
    } catch (error) {
      if (attempt === OPEN_ATTEMPTS || !folderWentAway(error)) throw error;
    }
  }
}

/**
 * Whether a folder may have been removed with its last file while a draft was created in it. A recursive `mkdir` of
 * Node reports a folder that disappears under it as ENOTDIR.
 */
function folderWentAway(error: unknown): boolean {
  return hasCode(error, 'ENOENT', 'ENOTDIR');
}

/**
 * Null when there is no such file. Synchronous, because each poll of a finished job checks its output images and a
 * round trip to the thread pool takes many times as long as the call itself.
 */
function sizeOf(file: string): number | null {
  try {
    const found = statSync(file, { throwIfNoEntry: false });
    return found?.isFile() ? found.size : null;
  } catch (error) {
    if (hasCode(error, 'ENOTDIR')) return null;
    throw error;
  }
}
