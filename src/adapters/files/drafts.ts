import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import { filesBelow, removeEmpty, statFile } from './folder.ts';

const DRAFT = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.part$/;
/** The writer of a draft this old is gone: requests and downloads from engines time out much earlier. */
const ABANDONED_MS = 24 * 3_600_000;
const SWEEP_EVERY_MS = 3_600_000;

/** A temporary name next to `target`, to write before a rename. */
export function draftOf(target: string): string {
  return `${target}.${randomUUID()}.part`;
}

/** Whether a file is a draft. */
export function isDraft(file: string): boolean {
  return DRAFT.test(file);
}

export interface DraftSweepOptions {
  readonly root: string;
  readonly now: Clock;
  readonly log: Log;
}

/**
 * Removes the drafts of killed processes, now and every hour. It keeps those that were written to within a day, which
 * may belong to another gateway that shares the folder.
 */
export function startDraftSweep(options: DraftSweepOptions): { stop(): Promise<void> } {
  const { root, log } = options;
  let sweeping: Promise<void> | null = null;
  const sweep = (): void => {
    sweeping ??= removeAbandoned(options)
      .catch(error => log.error({ root, err: error }, 'could not remove old drafts'))
      .finally(() => {
        sweeping = null;
      });
  };
  sweep();
  const timer = setInterval(sweep, SWEEP_EVERY_MS);
  return {
    async stop() {
      clearInterval(timer);
      await sweeping;
    },
  };
}

async function removeAbandoned({ root, now, log }: DraftSweepOptions): Promise<void> {
  let removed = 0;
  for (const file of await filesBelow(root)) {
    if (!isDraft(file)) continue;
    const stats = await statFile(file);
    if (stats === null || now() - stats.mtimeMs < ABANDONED_MS) continue;
    await rm(file, { force: true });
    await removeEmpty(dirname(file));
    removed += 1;
  }
  if (removed > 0) log.info({ root, removed }, 'removed drafts of killed processes');
}
