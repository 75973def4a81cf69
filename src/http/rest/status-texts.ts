import { LRUCache } from 'lru-cache';
import { isWaiting, type Job } from '../../jobs/job.ts';
import type { RestOptions } from './context.ts';
import { describeStatus, type Surroundings, surroundingsOf } from './status-fields.ts';

/** Jobs whose answer is kept: those that are asked for again and again. */
const KEPT = 500;
/** How old a look at the store of pictures may be, in milliseconds. */
const LOOK_MS = 1_000;

/** The answers of `/status` as JSON. */
export interface StatusTexts {
  /**
   * As the job is now; whether a finished job's picture is there was looked at within the last second. A promise only
   * where something has to be looked at.
   */
  of(job: Job): string | Promise<string>;
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

  /** Whether it is known, without looking, that nothing has changed. */
  function isSame(job: Job, before: Said): boolean {
    if (before.revision !== job.revision || isWaiting(job)) return false;
    return job.status !== 'COMPLETED' || performance.now() - before.lookedAt < LOOK_MS;
  }

  async function look(job: Job, before: Said | undefined): Promise<string> {
    const lookedAt = performance.now();
    const around = await surroundingsOf(options, job);
    if (before?.revision === job.revision && isWaiting(job) && around.position === before.position) {
      return before.text;
    }
    const text = JSON.stringify(describeStatus(options, job, around));
    said.set(job.id, { ...around, revision: job.revision, lookedAt, text });
    return text;
  }

  return {
    of(job) {
      const before = said.get(job.id);
      return before !== undefined && isSame(job, before) ? before.text : look(job, before);
    },
  };
}
