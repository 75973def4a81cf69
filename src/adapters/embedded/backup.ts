import { once } from 'node:events';
import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { hasCode } from '../files/folder.ts';
import { type BackupProgress, type BackupReport, copyImages } from './backup-images.ts';
import { copyDatabase, openDatabase, type Pages } from './database.ts';
import { SNAPSHOT_SOCKET, type SnapshotLine } from './snapshots.ts';

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

/** Why there is no backup, in a sentence for the operator. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

const DATABASE = 'jobs.sqlite';

/**
 * Copies an embedded store, also while a gateway uses it. The database is copied first, in the state of one moment and with the
 * small images in it, then the files of its jobs' images. A job is stored after its images and, once it has ended, removed after
 * them: a job of the copy that lacks an image was being deleted, or was deleted since, and is removed from the copy. So each job
 * of the copy has all its images, and `copyImages` leaves none of other jobs. Images in a bucket are not looked at.
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
    const report = await copyImages(join(draft, DATABASE), join(draft, 'artifacts'), options);
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
    const db = openDatabase(join(dataDir, DATABASE), { update: false });
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
