import { access, chmod, constants, mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode } from '../../src/adapters/files/folder.ts';

/** Linux' file system in memory: to start a gateway there takes 8 % less CPU than on a disk. */
const MEMORY = '/dev/shm';
/** A run has up to 0.4 GB of files, and takes 6 GB of memory with them. */
const ROOM = 2 ** 30;
const SPARE_MEMORY = 8 * 2 ** 30;
const PREFIX = 'qwen-edit-tests-';

/**
 * Vitest's global setup: one folder for all temporary files of the run, in memory where there is room. It is removed at the end,
 * with what processes that were killed have left in it.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const parent = (await hasRoom()) ? MEMORY : tmpdir();
  await removeAbandoned(parent);
  const folder = await mkdtemp(join(parent, `${PREFIX}${process.pid}-`));
  // Some tests run programs as another user.
  await chmod(folder, 0o755);
  const { TMPDIR: before } = process.env;
  process.env.TMPDIR = folder;
  return async () => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    await rm(folder, { recursive: true, force: true });
  };
}

async function hasRoom(): Promise<boolean> {
  if (process.env.TMPDIR !== undefined || process.availableMemory() < SPARE_MEMORY) return false;
  try {
    await access(MEMORY, constants.W_OK);
    const { bavail, bsize } = await statfs(MEMORY);
    return bavail * bsize > ROOM;
  } catch {
    // Other systems have none, and some containers none that is writable.
    return false;
  }
}

/** Removes the folders of runs that were killed, except those of other users. */
async function removeAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || isRunning(Number(pid))) continue;
    await rm(join(parent, name), { recursive: true, force: true }).catch(error => {
      if (!hasCode(error, 'EACCES', 'EPERM')) throw error;
    });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return !hasCode(error, 'ESRCH');
  }
}

/** What a program that a test starts inherits, whatever else is in the environment: where programs are, and the run's folder. */
export function inherited(): { readonly PATH: string; readonly TMPDIR: string } {
  return { PATH: process.env.PATH ?? '', TMPDIR: tmpdir() };
}
