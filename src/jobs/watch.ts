import { isFinal, type Job } from './job.ts';
import type { Feed, Ledger } from './ports.ts';

/** Snapshots of one job. `return()` settles at once, also while `next()` waits. */
export interface JobStream extends AsyncIterableIterator<Job, undefined> {
  return(): Promise<IteratorResult<Job, undefined>>;
}

/**
 * The present snapshot, then each newer one, then the final one, and then the end; null when there is no such
 * job. The feed is joined before the snapshot is read, so nothing falls between the two. Whoever reads slower
 * than the job changes gets the newest snapshot: the stream holds one at most, however long the job.
 */
export async function watchJob(ledger: Ledger, feed: Feed, id: string): Promise<JobStream | null> {
  const mailbox = createMailbox();
  const leave = await feed.watch(id, {
    changed: job => mailbox.offer(job),
    gone: () => mailbox.end(),
  });
  mailbox.onEnd(leave);
  try {
    const present = await ledger.get(id);
    if (present === null) {
      mailbox.end();
      return null;
    }
    mailbox.offer(present);
    return mailbox.stream;
  } catch (error) {
    mailbox.end();
    throw error;
  }
}

interface Mailbox {
  offer(job: Job): void;
  /** What is in the box is still delivered, nothing after it. */
  end(): void;
  onEnd(callback: () => void): void;
  readonly stream: JobStream;
}

function createMailbox(): Mailbox {
  let newest: Job | null = null;
  let seenRevision = 0;
  let ended = false;
  let leave: (() => void) | null = null;
  const readers: ((result: IteratorResult<Job, undefined>) => void)[] = [];

  function end(): void {
    if (ended) return;
    ended = true;
    leave?.();
    for (const reader of readers.splice(0)) reader({ value: undefined, done: true });
  }

  function offer(job: Job): void {
    if (ended || job.revision <= seenRevision) return;
    seenRevision = job.revision;
    const reader = readers.shift();
    if (reader) reader({ value: job, done: false });
    else newest = job;
    if (isFinal(job.status)) end();
  }

  const stream: JobStream = {
    [Symbol.asyncIterator]: () => stream,
    async next() {
      if (newest !== null) {
        const value = newest;
        newest = null;
        return { value, done: false };
      }
      if (ended) return { value: undefined, done: true };
      return new Promise(resolve => readers.push(resolve));
    },
    async return() {
      newest = null;
      end();
      return { value: undefined, done: true };
    },
  };

  return {
    offer,
    end,
    onEnd(callback) {
      leave = callback;
      if (ended) callback();
    },
    stream,
  };
}
