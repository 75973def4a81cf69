import { LRUCache } from 'lru-cache';
import { isWaiting, type Job } from '../../jobs/job.ts';
import type { RestOptions } from './options.ts';
import { describeStatus, type Surroundings, surroundingsOf } from './status-fields.ts';

/** Jobs whose answer is kept: those that are asked for again and again. */
const KEPT = 500;
/** How old a look at the store of pictures may be, in milliseconds. */
const LOOK_MS = 1_000;

/** The answers of `/status` as JSON. */
export interface StatusTexts {
  /** As the job is now; whether a finished job's picture is there was looked at within the last second. */
  of(job: Job): Promise<string>;
}

interface Said extends Surroundings {
  readonly revision: number;
  readonly lookedAt: number;
  readonly text: string;
}

/**
 * Writes an answer once for as long as it stays the same: who waits for a job asks far more often than anything
 * changes. The revision says whether the job did; its place in the queue is asked anew each time.
 */
export function createStatusTexts(options: RestOptions): StatusTexts {
  const said = new LRUCache<string, Said>({ max: KEPT });

  async function isSame(job: Job, before: Said): Promise<boolean> {
    if (before.revision !== job.revision) return false;
    if (isWaiting(job)) return (await options.services.jobs.ahead(job)) === before.position;
    return job.status !== 'COMPLETED' || performance.now() - before.lookedAt < LOOK_MS;
  }

  return {
    async of(job) {
      const before = said.get(job.id);
      if (before !== undefined && (await isSame(job, before))) return before.text;
      const lookedAt = performance.now();
      const around = await surroundingsOf(options, job);
      const text = JSON.stringify(describeStatus(options, job, around));
      said.set(job.id, { ...around, revision: job.revision, lookedAt, text });
      return text;
    },
  };
}
