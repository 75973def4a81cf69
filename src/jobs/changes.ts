import { createMailbox, type Stream } from '../concurrency/mailbox.ts';
import { advance, type JobEvent } from './advance.ts';
import { deliveriesFor } from './delivery.ts';
import { isFinal, type Job } from './job.ts';
import type { Feed, Lease, Ledger } from './ports.ts';

/** `gone`: the job was deleted. `fenced`: the lane has another holder. Otherwise the job as it is now. */
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
    const next = advance(current, event);
    if (next === current) return { kind: 'ok', job: current, changed: false };
    const result = await ledger.commit(next, current.revision, lease, deliveriesFor(current, next));
    switch (result) {
      case 'ok':
        ledger.onChange?.(current, next, event.type);
        return { kind: 'ok', job: next, changed: true };
      case 'stale':
        current = await ledger.get(job.id);
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

/** Snapshots of one job. */
export type JobStream = Stream<Job>;

/**
 * Streams the current snapshot, then every newer one up to the final one; null if there is no such job. Subscribes
 * before reading the snapshot, so no change is missed. A slow reader gets only the newest snapshot: the stream holds at
 * most one.
 */
export async function watchJob(ledger: Ledger, feed: Feed, id: string): Promise<JobStream | null> {
  let lastRevision = 0;
  let leave = (): void => {};
  const mailbox = createMailbox<Job>(() => leave());

  function offer(job: Job): void {
    if (job.revision <= lastRevision) return;
    lastRevision = job.revision;
    mailbox.offer(job);
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
