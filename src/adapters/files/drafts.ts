import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import { factsOf, filesBelow, removeEmpty } from './folder.ts';

const DRAFT = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.part$/;
/** Whoever wrote nothing for so long is gone: requests and downloads of an engine end much sooner. Milliseconds. */
const ABANDONED_MS = 24 * 3_600_000;
const SWEEP_EVERY_MS = 3_600_000;

/** A name beside `target` for what is to become it. */
export function draftOf(target: string): string {
  return `${target}.${randomUUID()}.part`;
}

/** Whether a file is a draft of another. */
export function isDraft(file: string): boolean {
  return DRAFT.test(file);
}

export interface DraftSweepOptions {
  readonly root: string;
  readonly now: Clock;
  readonly log: Log;
}

/**
 * Removes, now and every hour, the drafts of processes that were killed: those that nobody wrote to for a day, so that
 * the drafts of other gateways on the same folder stay.
 */
export function startDraftSweep(options: DraftSweepOptions): { stop(): Promise<void> } {
  const { root, log } = options;
  let sweeping: Promise<void> | null = null;
  const sweep = (): void => {
    sweeping ??= removeAbandoned(options)
      .catch(error => log.error({ root, error: String(error) }, 'could not remove old drafts'))
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
    const facts = await factsOf(file);
    if (facts === null || now() - facts.mtimeMs < ABANDONED_MS) continue;
    await rm(file, { force: true });
    await removeEmpty(dirname(file));
    removed += 1;
  }
  if (removed > 0) log.info({ root, removed }, 'removed what a killed process had begun to write');
}
