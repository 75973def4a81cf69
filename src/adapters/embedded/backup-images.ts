import { constants } from 'node:fs';
import { copyFile, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { imagesOf, type Job } from '../../jobs/job.ts';
import { partsOfKey } from '../artifacts-location.ts';
import { createFileArtifacts } from '../files/artifacts.ts';
import { isDraft } from '../files/drafts.ts';
import { filesBelow, hasCode } from '../files/folder.ts';
import { decodeJob } from '../record.ts';

/** How far a backup is. */
export interface BackupProgress {
  readonly stage: 'jobs' | 'images';
  /** Pages of the database, or jobs whose images are copied. */
  readonly done: number;
  readonly total: number;
}

/** What a backup has. */
export interface BackupReport {
  readonly jobs: number;
  readonly files: number;
  readonly bytes: number;
  /** Jobs that are not in the backup, because they were deleted while it was made. */
  readonly deleted: number;
}

export interface CopyImagesOptions {
  /** The folder that files are copied from; null when the images are elsewhere and are not copied. */
  readonly artifacts: string | null;
  readonly onProgress: (progress: BackupProgress) => void;
  readonly signal: AbortSignal;
}

/**
 * Copies the images of the jobs in `database`, which is itself a copy, and the uploads to the folder `target`. Removes the jobs that
 * lack an image, then what no job refers to: files that were copied, small images and batches. Of what it removes from the
 * database no bytes stay in the file. Throws the signal's reason when that aborts.
 */
export async function copyImages(
  database: string,
  target: string,
  { artifacts, onProgress, signal }: CopyImagesOptions,
): Promise<BackupReport> {
  const db = new DatabaseSync(database);
  try {
    // One file instead of three, and deletions take the keys and deliveries of a job with it.
    db.exec('PRAGMA journal_mode = DELETE; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON');
    const contents = contentsOf(db);
    const total = contents.jobs();
    const files = artifacts === null ? null : copier(artifacts, target, signal);
    const gone: { readonly id: string; readonly keys: readonly string[] }[] = [];
    let done = 0;
    for (const job of contents.all()) {
      signal.throwIfAborted();
      const keys = keysOf(job);
      const there = await Promise.all(
        // Small ones were copied with the database.
        keys.map(async key => files === null || contents.isSmall(key) || files.copy(key)),
      );
      if (there.includes(false)) gone.push({ id: job.id, keys });
      else contents.refer(keys);
      done += 1;
      if (files !== null) onProgress({ stage: 'images', done, total });
    }
    contents.remove(gone.map(({ id }) => id));
    for (const key of gone.flatMap(({ keys }) => keys)) {
      if (!contents.isReferred(key)) await files?.remove(key);
    }
    if (artifacts !== null && files !== null) await copyUploads(artifacts, files.copy);
    return {
      jobs: total - gone.length,
      ...(files?.copied() ?? { files: 0, bytes: 0 }),
      deleted: gone.length,
    };
  } finally {
    db.close();
  }
}

/** The jobs and small images of a copied database. The tables of an earlier version may have no small images and no batches. */
function contentsOf(db: DatabaseSync) {
  const isTable = db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?");
  const hasSmall = isTable.get('artifacts') !== undefined;
  const hasBatches = isTable.get('batches') !== undefined;
  db.exec('CREATE TEMP TABLE referred (key TEXT PRIMARY KEY) WITHOUT ROWID');
  const small = hasSmall ? db.prepare('SELECT 1 FROM artifacts WHERE key = ?') : null;
  const refer = db.prepare('INSERT OR IGNORE INTO referred VALUES (?)');
  const isReferred = db.prepare('SELECT 1 FROM referred WHERE key = ?');
  return {
    jobs: (): number => Number(db.prepare('SELECT count(*) AS n FROM jobs').get()?.n ?? 0),
    *all(): Generator<Job> {
      for (const { request, state } of db.prepare('SELECT request, state FROM jobs').iterate()) {
        yield decodeJob({ request: String(request), state: String(state) });
      }
    },
    isSmall: (key: string): boolean => small?.get(key) !== undefined,
    /** Notes what a job of the copy refers to. */
    refer(keys: readonly string[]): void {
      for (const key of keys) refer.run(key);
    },
    isReferred: (key: string): boolean => isReferred.get(key) !== undefined,
    /** Removes jobs, and what none of the others refers to. */
    remove(ids: readonly string[]): void {
      db.exec('BEGIN');
      const remove = db.prepare('DELETE FROM jobs WHERE id = ?');
      for (const id of ids) remove.run(id);
      if (hasSmall) db.exec('DELETE FROM artifacts WHERE key NOT IN (SELECT key FROM referred)');
      if (hasBatches) {
        db.exec(`DELETE FROM batches WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE batch_id = batches.id)`);
      }
      db.exec('COMMIT');
    },
  };
}

/** Copies artifacts from one folder to another. */
function copier(from: string, to: string, signal: AbortSignal) {
  const sizes = new Map<string, number>();
  const copies = createFileArtifacts(to);
  return {
    /** Whether there is such a file. */
    async copy(key: string): Promise<boolean> {
      signal.throwIfAborted();
      const parts = partsOfKey(key);
      const bytes = await copyIfThere(join(from, ...parts), join(to, ...parts));
      if (bytes !== null) sizes.set(key, bytes);
      return bytes !== null;
    },
    async remove(key: string): Promise<void> {
      if (sizes.delete(key)) await copies.remove(key);
    },
    copied: () => ({ files: sizes.size, bytes: sizes.values().reduce((sum, bytes) => sum + bytes, 0) }),
  };
}

function keysOf(job: Job): string[] {
  const outputs = job.outputs.flatMap(({ key, removed }) => (removed === null ? [key] : [key, removed.key]));
  return [...imagesOf(job.request).map(image => image.key), ...outputs];
}

/** The record of an upload makes it usable, so it is copied last and only with its image. */
async function copyUploads(artifacts: string, copy: (key: string) => Promise<boolean>): Promise<void> {
  const folders = new Map<string, string[]>();
  for (const file of await filesBelow(join(artifacts, 'uploads'))) {
    if (isDraft(file)) continue;
    const [name = '', id = ''] = file.split('/').reverse();
    folders.set(id, [...(folders.get(id) ?? []), name]);
  }
  for (const [id, names] of folders) {
    const images = names.filter(name => name !== 'record.json');
    const there = await Promise.all(images.map(name => copy(`uploads/${id}/${name}`)));
    if (images.length > 0 && !there.includes(false) && names.includes('record.json')) {
      await copy(`uploads/${id}/record.json`);
    }
  }
}

/** The bytes of the file; null when there is none. */
async function copyIfThere(from: string, to: string): Promise<number | null> {
  await mkdir(dirname(to), { recursive: true });
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    return (await stat(to)).size;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  }
}
