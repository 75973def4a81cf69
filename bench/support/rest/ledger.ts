import { join } from 'node:path';
import { openEmbeddedLedger } from '../../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed } from '../../../src/adapters/embedded/live.ts';
import type { Job } from '../../../src/jobs/job.ts';
import type { Ledger } from '../../../src/jobs/ports.ts';
import { aJob } from '../../../test/support/jobs.ts';

/** Opens the ledger of a stopped gateway, without watchers. */
export function openLedger(dataDir: string): Ledger {
  return openEmbeddedLedger({
    path: join(dataDir, 'jobs.sqlite'),
    feed: createEmbeddedFeed(),
    now: Date.now,
  });
}

/** Puts a job there as it is after a change. */
export async function keepJob(ledger: Ledger, change: Partial<Job>): Promise<Job> {
  const submitted = aJob({ createdAt: change.createdAt ?? Date.now(), owner: change.owner ?? null });
  await ledger.submit(submitted, { maxQueue: Number.MAX_SAFE_INTEGER, idempotency: null });
  const job = { ...submitted, ...change, revision: submitted.revision + 1 };
  const result = await ledger.commit(job, submitted.revision, null, []);
  if (result !== 'ok') throw new Error(`a job could not be stored: ${result}`);
  return job;
}

/** The fields of a finished job; its output image at `key` has `bytes` bytes. */
export function finished(key: string, bytes: number, at: number = Date.now()): Partial<Job> {
  const kind = key.endsWith('.png') ? 'image/png' : key.endsWith('.webp') ? 'image/webp' : 'image/jpeg';
  const filename = key.slice(key.lastIndexOf('/') + 1);
  return {
    status: 'COMPLETED',
    createdAt: at,
    promptId: '0f7c9b47-3ad5-4a52-b434-d349b3e018a3',
    progress: 100,
    startedAt: at,
    finishedAt: at,
    expiresAt: Date.now() + 86_400_000,
    outputs: [
      {
        key,
        filename,
        mimeType: kind,
        bytes,
        width: 1024,
        height: 1024,
        enginePath: `QwenEdit/${filename}`,
        removed: null,
      },
    ],
  };
}
