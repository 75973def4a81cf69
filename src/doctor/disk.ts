import { stat, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { sizeInWords } from '../sizes.ts';
import { type Check, reporter } from './check.ts';
import { fileFault, nearestFolder } from './store.ts';

/** Room for a few hundred images and the job file: below this, submits fail soon. */
const LOW_BYTES = 2 * 1024 ** 3;
const FULL_BYTES = 100 * 1024 ** 2;

/** Checks the space where jobs and images are stored on this machine, once for each disk. */
export async function checkDisks(config: Config): Promise<Check[]> {
  const { DATA_DIR, REDIS_URL, ARTIFACTS_URL } = config;
  const dataDir = resolve(DATA_DIR);
  const folders = REDIS_URL === undefined ? [dataDir] : [];
  if (ARTIFACTS_URL?.kind !== 's3') folders.push(ARTIFACTS_URL?.root ?? join(dataDir, 'artifacts'));
  const checks: Check[] = [];
  const seen = new Set<number>();
  for (const folder of folders) {
    try {
      const place = await nearestFolder(folder);
      const { dev } = await stat(place);
      if (!seen.has(dev)) checks.push(await checkDisk(folder, place));
      seen.add(dev);
    } catch (error) {
      checks.push(fileFault('disk', folder, error, config));
    }
  }
  return checks;
}

async function checkDisk(folder: string, place: string): Promise<Check> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(place);
  const report = reporter('disk', folder);
  const free = bavail * bsize;
  const message = `${sizeInWords(free)} of ${sizeInWords(blocks * bsize)} are free`;
  const fix = 'free some space, or set a shorter JOB_TTL';
  // Some file systems create inodes as they need them, and report none.
  if (files > 0 && ffree === 0) return report.wrong('no more files can be created', fix);
  if (free < FULL_BYTES) return report.wrong(message, fix);
  return free < LOW_BYTES ? report.warning(message, fix) : report.ok(message);
}
