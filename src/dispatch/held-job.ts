import type { JobEvent } from '../jobs/advance.ts';
import { changeFrom } from '../jobs/change.ts';
import type { Job } from '../jobs/job.ts';
import type { Lease, Ledger } from '../jobs/ports.ts';

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
  /** Puts an event through. Throws RunOver when the job or the lane is no longer ours. */
  apply(event: JobEvent): Promise<Job>;
}

/** Takes the job as it was when it was claimed or found. */
export function holdJob(ledger: Ledger, claimed: Job, lease: Lease): HeldJob {
  let job = claimed;
  return {
    get job() {
      return job;
    },
    async apply(event) {
      const result = await changeFrom(ledger, job, event, lease);
      if (result.kind !== 'ok') throw new RunOver(result.kind);
      job = result.job;
      return job;
    },
  };
}
