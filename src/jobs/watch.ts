import { isFinal, type Job } from './job.ts';
import { createMailbox, type Stream } from './mailbox.ts';
import type { Feed, Ledger } from './ports.ts';

/** Snapshots of one job. */
export type JobStream = Stream<Job>;

/**
 * The present snapshot, then each newer one, then the final one, and then the end; null when there is no such
 * job. The feed is joined before the snapshot is read, so nothing falls between the two. Whoever reads slower
 * than the job changes gets the newest snapshot: the stream holds one at most, however long the job.
 */
export async function watchJob(ledger: Ledger, feed: Feed, id: string): Promise<JobStream | null> {
  let seenRevision = 0;
  let leave = (): void => {};
  const mailbox = createMailbox<Job>(() => leave());

  function see(job: Job): void {
    if (job.revision <= seenRevision) return;
    seenRevision = job.revision;
    mailbox.offer(job);
    if (isFinal(job.status)) mailbox.end();
  }

  // A watcher that is told the end before it knows how to leave leaves right after.
  let over = false;
  const joined = await feed.watch(id, {
    changed: see,
    gone() {
      over = true;
      mailbox.end();
    },
  });
  leave = joined;
  if (over) joined();
  try {
    const present = await ledger.get(id);
    if (present === null) {
      mailbox.end();
      return null;
    }
    see(present);
    return mailbox.stream;
  } catch (error) {
    mailbox.end();
    throw error;
  }
}
