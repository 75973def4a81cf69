import { setTimeout as delay } from 'node:timers/promises';
import type { JobEvent } from '../jobs/advance.ts';
import { type ChangeResult, changeFrom } from '../jobs/change.ts';
import type { Job } from '../jobs/job.ts';
import type { Lease, Ledger } from '../jobs/ports.ts';
import { StoreAway } from '../jobs/store-away.ts';

/** The run is over for a reason outside it: the job was deleted, or the lane has another holder. */
export class RunOver extends Error {
  readonly reason: 'gone' | 'fenced';

  constructor(reason: 'gone' | 'fenced') {
    super(reason === 'gone' ? 'the job was deleted' : 'the lane was taken over');
    this.reason = reason;
  }
}

/** The job that a lane holds, as it stands, and the one way to change it. */
export interface HeldJob {
  readonly job: Job;
  /**
   * Puts an event through. While the store is away it waits, for as long as the lane can be ours: the engine works
   * on meanwhile. Throws RunOver when the job or the lane is no longer ours.
   */
  apply(event: JobEvent): Promise<Job>;
}

const AWAY_RETRY_MS = 200;

/** Takes the job as it was when it was claimed or found. `signal` aborts when the lane is given up. */
export function holdJob(ledger: Ledger, claimed: Job, lease: Lease, signal: AbortSignal): HeldJob {
  let job = claimed;

  async function change(event: JobEvent): Promise<ChangeResult> {
    for (;;) {
      try {
        return await changeFrom(ledger, job, event, lease);
      } catch (error) {
        if (!(error instanceof StoreAway)) throw error;
        await delay(AWAY_RETRY_MS, undefined, { signal }).catch(() => {
          throw new RunOver('fenced');
        });
      }
    }
  }

  return {
    get job() {
      return job;
    },
    async apply(event) {
      const result = await change(event);
      if (result.kind !== 'ok') throw new RunOver(result.kind);
      job = result.job;
      return job;
    },
  };
}
