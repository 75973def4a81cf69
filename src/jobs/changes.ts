import { createMailbox, type Stream } from '../concurrency/mailbox.ts';
import { createThrottle } from '../concurrency/throttle.ts';
import { advance, type JobEvent } from './advance.ts';
import { deliveriesFor } from './delivery.ts';
import { isFinal, type Job } from './job.ts';
import type { Feed, Lease, Ledger } from './ports.ts';

/** `gone`: the job was deleted. `fenced`: the lane has another holder, or the job another lane. Otherwise the job as it is now. */
export type ChangeResult = { kind: 'ok'; job: Job; changed: boolean } | { kind: 'gone' } | { kind: 'fenced' };

/**
 * Applies an event with `advance` and commits the result with the deliveries it causes. Starts from `job`; reads it
 * again whenever another writer was faster. Commits nothing if the event no longer applies.
 */
export async function changeFrom(
  ledger: Ledger,
  job: Job,
  event: JobEvent,
  lease: Lease | null,
): Promise<ChangeResult> {
  let current: Job | null = job;
  while (current !== null) {
    // Another lane has it by now: what this one says is of an earlier run.
    if (lease !== null && current.lane !== null && current.lane !== lease.lane) return { kind: 'fenced' };
    const result = await changeUnlessStale(ledger, current, event, lease);
    if (result.kind !== 'stale') return result;
    current = await ledger.get(job.id);
  }
  return { kind: 'gone' };
}

/** Like `changeFrom`, for an event that holds only for the job as it was read: `stale` when another writer was faster. */
export async function changeUnlessStale(
  ledger: Ledger,
  job: Job,
  event: JobEvent,
  lease: Lease | null,
): Promise<ChangeResult | { kind: 'stale' }> {
  const next = advance(job, event);
  if (next === job) return { kind: 'ok', job, changed: false };
  const kind = event.type === 'progressed' || event.type === 'previewed' ? 'step' : 'change';
  const result = await ledger.commit(next, job.revision, lease, deliveriesFor(job, next), kind);
  if (result !== 'ok') return { kind: result };
  ledger.onChange?.(job, next, event.type);
  return { kind: 'ok', job: next, changed: true };
}

/** Snapshots of one job. */
export type JobStream = Stream<Job>;

/** Which snapshots a watcher wants. */
export interface WatchOptions {
  /** False: none for a change that only replaced the preview, and none has a preview. Default: true. */
  readonly previews?: boolean | undefined;
  /** How many per second at most, from PER_SECOND. The final one comes at once. Unset: each change. */
  readonly maxPerSecond?: number | undefined;
}

/** The range of `maxPerSecond`: below, a job would seem to hang; above, no screen shows more. */
export const PER_SECOND = { minimum: 0.1, maximum: 60 } as const;

/**
 * Streams the current snapshot, then every newer one up to the final one; null if there is no such job. Subscribes
 * before reading the snapshot, so no change is missed. A slow reader gets only the newest snapshot: the stream holds at
 * most one.
 */
export async function watchJob(
  ledger: Ledger,
  feed: Feed,
  id: string,
  { previews = true, maxPerSecond }: WatchOptions = {},
): Promise<JobStream | null> {
  let lastRevision = 0;
  let lastChange = 0;
  let leave = (): void => {};
  const mailbox = createMailbox<Job>(() => {
    throttle?.stop();
    leave();
  });
  const throttle =
    maxPerSecond === undefined ? null : createThrottle<Job>(1000 / maxPerSecond, job => mailbox.offer(job));

  function offer(job: Job): void {
    if (job.revision <= lastRevision) return;
    lastRevision = job.revision;
    const change = job.revision - job.previewRevisions;
    if (!previews && change <= lastChange) return;
    lastChange = change;
    const shown = previews || job.preview === null ? job : { ...job, preview: null };
    if (throttle === null || isFinal(job.status)) mailbox.offer(shown);
    else throttle.offer(shown);
    if (isFinal(job.status)) mailbox.end();
  }

  // If the job is deleted before `watch` resolves, `leave` is not set yet: then leave right after.
  let gone = false;
  leave = await feed.watch(id, {
    changed: offer,
    gone() {
      gone = true;
      mailbox.end();
    },
  });
  if (gone) leave();
  try {
    const job = await ledger.get(id);
    if (job === null) {
      mailbox.end();
      return null;
    }
    offer(job);
    return mailbox.stream;
  } catch (error) {
    mailbox.end();
    throw error;
  }
}
