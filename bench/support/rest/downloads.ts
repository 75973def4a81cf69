import { fork } from 'node:child_process';
import { ask } from '../ipc.ts';
import type { DownloadOrder } from './download-load.ts';

/** Has a process of its own download a URL so often at once. Gives the seconds until the last one had it whole. */
export async function downloadMany(url: string, atOnce: number): Promise<number> {
  const child = fork(new URL('download-load.ts', import.meta.url));
  try {
    const download: DownloadOrder = { url, atOnce };
    return (await ask<{ seconds: number }>(child, { download }, 'seconds')).seconds;
  } finally {
    child.kill();
  }
}
