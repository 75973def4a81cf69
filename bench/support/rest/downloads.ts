import { fork } from 'node:child_process';
import { ask } from '../ipc.ts';
import type { DownloadOrder } from './download-load.ts';

/** Downloads a URL several times concurrently in another process. Resolves with the seconds until the last is complete. */
export async function downloadMany(url: string, atOnce: number): Promise<number> {
  const child = fork(new URL('download-load.ts', import.meta.url));
  try {
    const download: DownloadOrder = { url, atOnce };
    return (await ask<{ seconds: number }>(child, { download }, 'seconds')).seconds;
  } finally {
    child.kill();
  }
}
