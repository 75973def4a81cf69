import { once } from 'node:events';
import { constants } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { imagesOf, type Job } from '../../jobs/job.ts';
import { partsOfKey } from '../artifacts-location.ts';
import { isDraft } from '../files/drafts.ts';
import { filesBelow, hasCode } from '../files/folder.ts';
import { decodeJob } from '../record.ts';
import { copyDatabase, openDatabase, type Pages } from './database.ts';
import { SNAPSHOT_SOCKET, type SnapshotLine } from './snapshots.ts';

/** How far a backup is. */
export interface BackupProgress {
  readonly stage: 'jobs' | 'images';
  /** Pages of the database, or jobs whose images are copied. */
  readonly done: number;
  readonly total: number;
}

export interface BackupOptions {
  /** The data folder of the store, with its database. */
  readonly dataDir: string;
  /** The folder of the artifacts; null when they are elsewhere and are not copied. */
  readonly artifacts: string | null;
  /** A folder that is missing or empty. It appears when the backup is complete. */
  readonly target: string;
  readonly onProgress: (progress: BackupProgress) => void;
  readonly signal: AbortSignal;
}

export interface BackupReport {
  readonly jobs: number;
  readonly files: number;
  readonly bytes: number;
  /** Jobs that are not in the backup, because they were deleted while it was made. */
  readonly deleted: number;
}

/** Why there is no backup, in a sentence for the operator. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

const DATABASE = 'jobs.sqlite';

/**
 * Copies an embedded store, also while a gateway uses it. The database is copied first, in one consistent state and with the
 * small images in it, then the other images of its jobs. A job is stored after its images and removed after them, so a job of the copy whose images are
 * missing was deleted since: it is removed from the copy. So every job of the copy has all its images.
 *
 * Throws a BackupError, and leaves no target, when it cannot be made. Throws the signal's reason when that aborts.
 */
export async function backUp(options: BackupOptions): Promise<BackupReport> {
  const { dataDir, target } = options;
  if (!(await isFile(join(dataDir, DATABASE)))) {
    throw new BackupError(`${dataDir} has no ${DATABASE}: it is not the data folder of an embedded store`);
  }
  if (!(await isMissingOrEmpty(target))) throw new BackupError(`${target} is not an empty folder`);
  const draft = `${target}.part`;
  await rm(draft, { recursive: true, force: true });
  try {
    await mkdir(draft, { recursive: true });
    await snapshotInto(join(draft, DATABASE), options);
    const report = await copyImages(draft, options);
    await rm(target, { recursive: true, force: true });
    await rename(draft, target);
    return report;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    options.signal.throwIfAborted();
    throw asBackupError(error, target);
  }
}

/** Copies the database: through the gateway that holds it, otherwise directly. */
async function snapshotInto(path: string, { dataDir, onProgress, signal }: BackupOptions): Promise<void> {
  const show = ({ copied, total }: Pages): void => onProgress({ stage: 'jobs', done: copied, total });
  const socket = await connectTo(join(dataDir, SNAPSHOT_SOCKET));
  if (socket === null) {
    const { db } = openDatabase(join(dataDir, DATABASE), { update: false });
    try {
      return await copyDatabase(db, path, show);
    } finally {
      db.close();
    }
  }
  const abort = (): void => void socket.destroy();
  signal.addEventListener('abort', abort);
  try {
    // The gateway removes its snapshot when the connection closes.
    await copyFile(join(dataDir, await snapshotOf(socket, show)), path);
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

/** Null when no gateway listens. */
async function connectTo(path: string): Promise<Socket | null> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return socket;
  } catch (error) {
    socket.destroy();
    if (hasCode(error, 'ENOENT', 'ECONNREFUSED', 'ENOTSOCK', 'EINVAL')) return null;
    if (hasCode(error, 'EACCES', 'EPERM')) {
      throw new BackupError(`permission to ${path} denied: run this as the user of the gateway, or as root`);
    }
    throw error;
  }
}

/** The name of the snapshot's file, once it is complete. */
async function snapshotOf(socket: Socket, show: (pages: Pages) => void): Promise<string> {
  socket.on('error', () => undefined);
  for await (const text of createInterface({ input: socket })) {
    const line: SnapshotLine = JSON.parse(text);
    if ('file' in line) return line.file;
    if ('error' in line) throw new BackupError(`the gateway could not copy its jobs: ${line.error}`);
    show(line);
  }
  throw new BackupError('the gateway stopped before it had copied its jobs');
}

/** Copies the images of the jobs in the copied database, and the uploads. */
async function copyImages(draft: string, options: BackupOptions): Promise<BackupReport> {
  const { artifacts, onProgress, signal } = options;
  const db = new DatabaseSync(join(draft, DATABASE));
  const report = { jobs: 0, files: 0, bytes: 0, deleted: 0 };
  try {
    // One file instead of three, and deletions take the keys and deliveries of a job with it.
    db.exec('PRAGMA journal_mode = DELETE; PRAGMA foreign_keys = ON');
    report.jobs = Number(db.prepare('SELECT count(*) AS n FROM jobs').get()?.n ?? 0);
    if (artifacts === null) return report;
    const isSmall = smallIn(db);
    const copy = async (key: string): Promise<boolean> => {
      signal.throwIfAborted();
      // Copied with the database.
      if (isSmall(key)) return true;
      const parts = partsOfKey(key);
      const bytes = await copyIfThere(join(artifacts, ...parts), join(draft, 'artifacts', ...parts));
      if (bytes === null) return false;
      report.files += 1;
      report.bytes += bytes;
      return true;
    };
    const total = report.jobs;
    const gone: string[] = [];
    let done = 0;
    for (const { request, state } of db.prepare('SELECT request, state FROM jobs').iterate()) {
      const job = decodeJob({ request: String(request), state: String(state) });
      const there = await Promise.all(keysOf(job).map(copy));
      if (there.includes(false)) gone.push(job.id);
      done += 1;
      onProgress({ stage: 'images', done, total });
    }
    const remove = db.prepare('DELETE FROM jobs WHERE id = ?');
    for (const id of gone) remove.run(id);
    report.jobs -= gone.length;
    report.deleted = gone.length;
    await copyUploads(artifacts, copy);
    return report;
  } finally {
    db.close();
  }
}

/** Whether an image is in the database itself. The tables of an earlier version have none. */
function smallIn(db: DatabaseSync): (key: string) => boolean {
  if (db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'artifacts'").get() === undefined)
    return () => false;
  const find = db.prepare('SELECT 1 FROM artifacts WHERE key = ?');
  return key => find.get(key) !== undefined;
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

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

async function isMissingOrEmpty(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length === 0;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    if (hasCode(error, 'ENOTDIR')) return false;
    throw error;
  }
}

function asBackupError(error: unknown, target: string): unknown {
  if (!(error instanceof Error) || error instanceof BackupError) return error;
  const full = hasCode(error, 'ENOSPC', 'EDQUOT') || /disk is full/i.test(error.message);
  if (full) return new BackupError(`the disk of ${target} is full`, { cause: error });
  if ('code' in error || error.message.includes(DATABASE))
    return new BackupError(error.message, { cause: error });
  return error;
}
