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
import type { Artifacts, StoredArtifact } from '../../jobs/ports.ts';
import { partsOfKey } from '../artifact-key.ts';
import { draftOf, isDraft } from './drafts.ts';
import { factsOf, filesBelow, hasCode, removeEmpty } from './folder.ts';
import { sendFile } from './send-file.ts';

const OPEN_ATTEMPTS = 5;
/** Read at once: fewer ways to a thread and back than with Node's 64 KiB; a slow reader makes us hold two of them. */
const READ_BYTES = 128 * 1024;

/** So few are written at once: the ways to a thread and back take longer than the writing, the flush apart. */
const SMALL_BYTES = 64 * 1024;

/**
 * Artifacts as files below `root`. A file appears under its name only when it is whole: it is written beside, then renamed.
 * Once a put resolves, bytes and name outlive a power cut. Folders come with their first file and go with their last. Throws a
 * TypeError for a key that is not of the port's form, so no key can lead out of `root`.
 */
export function createFileArtifacts(root: string): Artifacts {
  const path = (key: string): string => join(root, ...partsOfKey(key));

  return {
    async put(key, source) {
      if (source instanceof Uint8Array) {
        if (source.byteLength <= SMALL_BYTES) return storeSmall(path(key), source);
        return store(path(key), draft => writeBytes(draft, source));
      }
      // Told to whoever reads it; until somebody does, an error is no reason to end the process.
      source.once('error', () => undefined);
      try {
        return await store(path(key), draft => writeStream(draft, source));
      } finally {
        source.destroy();
      }
    },
    async get(key, range) {
      // Opened first, so that a file that goes away meanwhile is still read to its end.
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
        const facts = isDraft(file) ? null : await factsOf(file);
        if (facts === null) continue;
        const key = relative(root, file).split(sep).join('/');
        found.push({ key, bytes: facts.size, modifiedAt: Math.floor(facts.mtimeMs) });
      }
      return found.sort((a, b) => (a.key < b.key ? -1 : 1));
    },
  };
}

// By descriptors: a FileHandle costs half as much again, and every submit writes its pictures.
const calls = {
  close: promisify(close),
  sync: promisify(fsync),
  mkdir: promisify(mkdir),
  stat: promisify(fstat),
  open: promisify(open),
  write: promisify(write),
};

/**
 * `write` writes to the descriptor and gives the number of bytes. The flush comes after the file has its name and is for
 * both: Linux' file systems write a rename to their log with the file that was renamed. What stands there already is
 * replaced by what is on the disk only.
 */
async function store(target: string, write: (descriptor: number) => Promise<number>): Promise<number> {
  const draft = draftOf(target);
  const descriptor = await openDraft(draft);
  let name = draft;
  try {
    try {
      const size = await write(descriptor);
      if (sizeOf(target) !== null) await calls.sync(descriptor);
      await rename(draft, target);
      name = target;
      await calls.sync(descriptor);
      return size;
    } finally {
      await calls.close(descriptor);
    }
  } catch (error) {
    await discard(name);
    throw error;
  }
}

/** As `store`, with nothing left to other threads but the flush, which waits for the disk. */
async function storeSmall(target: string, bytes: Uint8Array): Promise<number> {
  const draft = draftOf(target);
  const descriptor = openDraftSync(draft);
  let name = draft;
  try {
    try {
      for (let written = 0; written < bytes.byteLength; ) written += writeSync(descriptor, bytes, written);
      if (sizeOf(target) !== null) await calls.sync(descriptor);
      renameSync(draft, target);
      name = target;
      await calls.sync(descriptor);
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

/** Mostly the folder is there: to look first takes as long as to open. */
function openDraftSync(draft: string): number {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return openSync(draft, 'wx');
    } catch (error) {
      if (!hasCode(error, 'ENOENT') || attempt === OPEN_ATTEMPTS) throw error;
    }
    mkdirSync(dirname(draft), { recursive: true });
  }
}

async function writeBytes(descriptor: number, bytes: Uint8Array): Promise<number> {
  for (let written = 0; written < bytes.byteLength; ) {
    const { bytesWritten } = await calls.write(descriptor, bytes, written);
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

/** Null when there is no file of that name. */
async function openToRead(file: string): Promise<number | null> {
  let descriptor: number;
  try {
    descriptor = await calls.open(file, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
  let isFile = false;
  try {
    isFile = (await calls.stat(descriptor)).isFile();
  } finally {
    if (!isFile) await calls.close(descriptor);
  }
  return isFile ? descriptor : null;
}

/** Again when the folder was removed, with its last file, between its making and the draft's. */
async function openDraft(draft: string): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await calls.mkdir(dirname(draft), { recursive: true });
      return await calls.open(draft, 'wx');
    } catch (error) {
      if (!hasCode(error, 'ENOENT') || attempt === OPEN_ATTEMPTS) throw error;
    }
  }
}

/**
 * Null when there is no file of that name. It looks at once: each poll of a finished job asks whether its picture is
 * there, and the way to a thread and back takes many times as long as the look itself.
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
