import { advance, type JobEvent } from './advance.ts';
import type { Job } from './job.ts';
import type { Lease, Ledger } from './ports.ts';
import { deliveriesFor } from './webhook.ts';

/** `gone`: the job was deleted. `fenced`: the lane has another holder. Otherwise the job as it stands now. */
export type ChangeResult = { kind: 'ok'; job: Job; changed: boolean } | { kind: 'gone' } | { kind: 'fenced' };

/**
 * Puts an event through `advance` and into the ledger, starting from `job` and reading afresh as often as
 * somebody else was faster. An event that means nothing any more changes nothing. What the job's webhook is to be told
 * is stored with the change.
 */
export async function changeFrom(
  ledger: Ledger,
  job: Job,
  event: JobEvent,
  lease: Lease | null,
): Promise<ChangeResult> {
  let present: Job | null = job;
  while (present !== null) {
    const next = advance(present, event);
    if (next === present) return { kind: 'ok', job: present, changed: false };
    const result = await ledger.commit(next, present.revision, lease, deliveriesFor(present, next));
    switch (result) {
      case 'ok':
        return { kind: 'ok', job: next, changed: true };
      case 'stale':
        present = await ledger.get(job.id);
        break;
      case 'gone':
        return { kind: 'gone' };
      case 'fenced':
        return { kind: 'fenced' };
      default:
        return result satisfies never;
    }
  }
  return { kind: 'gone' };
}

/** The same for somebody who has only the id. */
export async function changeJob(
  ledger: Ledger,
  id: string,
  event: JobEvent,
  lease: Lease | null = null,
): Promise<ChangeResult> {
  const job = await ledger.get(id);
  return job === null ? { kind: 'gone' } : changeFrom(ledger, job, event, lease);
}
