import { createMailbox, type Stream } from '../../concurrency/mailbox.ts';
import { createThrottle } from '../../concurrency/throttle.ts';
import { isFinal } from '../job.ts';
import type { Batches, Feed } from '../ports.ts';
import { type Batch, hasEnded } from './batch.ts';

/** States of one batch. */
export type BatchStream = Stream<Batch>;

/** States per second unless the watcher says another number: a bar over many jobs needs no more. */
export const BATCH_PER_SECOND = 4;

/**
 * Streams the present state of a batch, then newer ones, at most `perSecond`, up to the state in which all jobs have ended, which
 * comes at once. Null: there is no such batch. Ends when the batch is removed. The stream rejects with StoreUnavailable when
 * the store goes away. It follows the changes of the caller's jobs, so that a batch needs no channel of its own, and counts
 * the batch when some of them were its own.
 */
export async function watchBatch(
  batches: Batches,
  feed: Feed,
  id: string,
  perSecond: number = BATCH_PER_SECOND,
): Promise<BatchStream | null> {
  const found = await batches.read(id);
  if (found === null) return null;
  let leave = (): void => {};
  let ended = false;
  let failure: { readonly error: unknown } | null = null;
  let shown = '';
  let reading = false;
  /** What happened while a state was read. */
  let missed: 'end' | 'change' | null = null;

  const mailbox = createMailbox<Batch>(() => {
    ended = true;
    throttle.stop();
    leave();
  });
  const throttle = createThrottle<null>(1000 / perSecond, () => refresh(false));

  function offer(batch: Batch): void {
    const text = JSON.stringify(batch);
    if (text === shown) return;
    shown = text;
    mailbox.offer(batch);
  }

  /** Reads the batch. `quiet`: it is only shown if all jobs have ended. */
  function refresh(quiet: boolean): void {
    if (ended) return;
    if (reading) {
      missed = quiet && missed !== 'change' ? 'end' : 'change';
      return;
    }
    reading = true;
    batches.read(id).then(
      batch => {
        reading = false;
        if (ended) return;
        if (batch === null) {
          mailbox.end();
          return;
        }
        if (!quiet || hasEnded(batch)) offer(batch);
        if (hasEnded(batch)) mailbox.end();
        const again = missed;
        missed = null;
        if (again !== null) refresh(again === 'end');
      },
      (error: unknown) => {
        reading = false;
        failure = { error };
        mailbox.end();
      },
    );
  }

  const stop = await feed.watchAll(found.owner, {
    changed(job) {
      if (job.batch?.id !== id) return;
      if (isFinal(job.status)) refresh(true);
      throttle.offer(null);
    },
    removed() {
      refresh(true);
      throttle.offer(null);
    },
    missed() {
      refresh(false);
    },
  });
  leave = stop;
  if (ended) stop();
  // What changed before the feed was watched.
  refresh(false);
  return failing(mailbox.stream, () => failure);
}

/** The stream; where it would end because of a failure, it rejects once. */
function failing<T>(stream: Stream<T>, failure: () => { readonly error: unknown } | null): Stream<T> {
  let reported = false;
  const failed: Stream<T> = {
    [Symbol.asyncIterator]: () => failed,
    async next() {
      const result = await stream.next();
      const reason = failure();
      if (result.done !== true || reason === null || reported) return result;
      reported = true;
      throw reason.error;
    },
    return: () => stream.return(),
  };
  return failed;
}
