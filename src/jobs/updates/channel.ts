import { isFinal, type Job, type JobStatus } from '../job.ts';
import type { Change, UpdatesWatcher } from '../ports.ts';
import { type Batch, batchesOf } from './batch.ts';

/** Which updates a reader wants. */
export interface UpdatesFilter {
  /** Only jobs with one of these; null: all. A job that leaves them is sent once more. */
  readonly statuses: readonly JobStatus[] | null;
  /** Whether a change of nothing but the preview is sent. */
  readonly previews: boolean;
  /** How often a job is sent at most, from PER_SECOND; its end is sent at once. Null: each change. */
  readonly maxPerSecond: number | null;
}

export interface Channel extends UpdatesWatcher {
  /** Drops what is not sent yet, and the timer. */
  stop(): void;
}

export interface ChannelOptions extends UpdatesFilter {
  /** The present name of the sequence of changes. */
  readonly sequence: () => string;
  /** Gets what changed within one turn of the event loop, or within the interval. The same objects go to all readers. */
  readonly send: (batches: readonly Batch[]) => void;
  readonly onMissed: () => void;
}

/** What was last seen of a job that may still change. */
interface Known {
  readonly status: JobStatus;
  /** Counts the changes of more than the preview. */
  readonly change: number;
}

/** Gathers the changes that readers with the same filter want. Holds each job that waits to be sent once. */
export function createChannel(options: ChannelOptions): Channel {
  const { statuses, previews, maxPerSecond, send } = options;
  const known = new Map<string, Known>();
  /** In the order of their numbers. */
  const pending = new Map<string, Change>();
  let newest = 0;
  let turn: NodeJS.Immediate | null = null;
  let interval: NodeJS.Timeout | null = null;

  function flush(): void {
    turn = null;
    const held = interval !== null;
    const ready = [...pending.values()].filter(({ job }) => !held || job === null || isFinal(job.status));
    if (ready.length === 0) return;
    for (const { jobId } of ready) pending.delete(jobId);
    if (!held && maxPerSecond !== null) interval = setTimeout(reopen, 1000 / maxPerSecond);
    const [waiting] = pending.values();
    // A reader that comes back must get what still waits.
    send(batchesOf(options.sequence(), ready, waiting === undefined ? newest : waiting.number - 1));
  }

  function reopen(): void {
    interval = null;
    flush();
  }

  function add(change: Change): void {
    pending.delete(change.jobId);
    pending.set(change.jobId, change);
    if (interval === null || change.job === null || isFinal(change.job.status)) turn ??= setImmediate(flush);
  }

  /** Whether a reader wants to know; remembers the job. */
  function isWanted(job: Job): boolean {
    const before = known.get(job.id);
    const change = job.revision - job.previewRevisions;
    if (isFinal(job.status)) known.delete(job.id);
    else known.set(job.id, { status: job.status, change });
    if (!previews && before?.change === change) return false;
    return matches(statuses, job.status) || (job.revision > 1 && mayHaveMatched(statuses, before?.status));
  }

  return {
    changed(job, number) {
      newest = number;
      if (!isWanted(job)) return;
      add({ jobId: job.id, number, job: previews ? job : withoutPreview(job) });
    },
    removed(jobId, number) {
      newest = number;
      known.delete(jobId);
      add({ jobId, number, job: null });
    },
    missed() {
      known.clear();
      pending.clear();
      options.onMissed();
    },
    stop() {
      if (turn !== null) clearImmediate(turn);
      if (interval !== null) clearTimeout(interval);
      turn = null;
      interval = null;
      pending.clear();
    },
  };
}

/** Whether a job that changed, and whose status before is unknown, is of interest. */
export function isOfInterest(statuses: UpdatesFilter['statuses'], job: Job): boolean {
  return matches(statuses, job.status) || mayHaveMatched(statuses, undefined);
}

/** The job as a reader without previews sees it. */
export function withoutPreview(job: Job): Job {
  return job.preview === null ? job : { ...job, preview: null };
}

function matches(statuses: UpdatesFilter['statuses'], status: JobStatus): boolean {
  return statuses === null || statuses.includes(status);
}

/** Whether a job that has changed had one of the statuses before. A final one it cannot have had. */
function mayHaveMatched(statuses: UpdatesFilter['statuses'], before: JobStatus | undefined): boolean {
  if (before !== undefined) return matches(statuses, before);
  return statuses === null || statuses.some(status => !isFinal(status));
}
