import type { Stream } from '../../concurrency/mailbox.ts';
import { type Batch, batchAfter, type JobUpdates, joinBatches } from './batch.ts';
import type { Position } from './position.ts';

/** What a reader reads from the store: of several that read the same, only the first does. */
export interface Source {
  /** The newest jobs, as a reset. */
  newest(first: number): Promise<Batch>;
  /** The first changes after a position; null: that cannot be told, because it is too old or of another store. */
  after(position: Position): Promise<{ readonly batch: Batch; readonly isLast: boolean } | null>;
  /** The present name of the sequence of changes. */
  sequence(): string;
}

export interface Reader {
  /** One read at a time. */
  readonly stream: Stream<JobUpdates>;
  /** Holds batches until they are read; when there are still others, all are joined. */
  offer(batches: readonly Batch[]): void;
  /** Batches were lost: reads what changed from the store. */
  missed(): void;
}

export interface ReaderOptions {
  readonly source: Source;
  /** Null: begins with a reset. */
  readonly since: Position | null;
  /** Number of jobs of a reset. */
  readonly first: number;
  /** Called once, when the stream ends. */
  readonly onEnd: () => void;
}

interface Read {
  resolve(step: IteratorResult<JobUpdates, undefined>): void;
  reject(error: unknown): void;
}

/**
 * Streams updates: from the store until there are no more, then live. Nothing is read from the store before it is asked
 * for. A reader that is slow gets each changed job once, and one that is far behind goes back to the store.
 */
export function createReader({ source, since, first, onEnd }: ReaderOptions): Reader {
  let mode: 'reset' | 'store' | 'live' = since === null ? 'reset' : 'store';
  /** Everything up to here was read. */
  let position: Position = since ?? { sequence: source.sequence(), number: 0 };
  /** Up to here the store was read: what is offered of that is older. */
  let floor = 0;
  let held: readonly Batch[] = [];
  let read: Read | null = null;
  let loading = false;
  let misses = 0;
  let greeted = false;
  let ended = false;

  function end(): void {
    if (ended) return;
    ended = true;
    held = [];
    onEnd();
  }

  function give({ updates, until }: Batch): void {
    position = { sequence: source.sequence(), number: Math.max(position.number, until) };
    greeted = true;
    const waiting = read;
    read = null;
    waiting?.resolve({ value: updates, done: false });
  }

  function takeHeld(): void {
    while (held.length > 0) {
      const [batch, ...rest] = held;
      held = rest;
      const fresh = batch === undefined ? null : batchAfter(source.sequence(), batch, floor);
      if (fresh !== null) {
        give(fresh);
        return;
      }
    }
  }

  /** One step of reading the store; null: nothing to hand on. */
  async function load(): Promise<Batch | null> {
    if (mode === 'reset') {
      const batch = await source.newest(first);
      position = { sequence: source.sequence(), number: batch.until };
      mode = 'store';
      return batch;
    }
    const before = misses;
    const found = await source.after(position);
    if (found === null) {
      mode = 'reset';
      return null;
    }
    const { batch, isLast } = found;
    floor = batch.until;
    position = { sequence: source.sequence(), number: batch.until };
    if (isLast && misses === before) mode = 'live';
    // The first one is sent in any case: it tells that the subscription works, and where it is.
    return batch.changes.length > 0 || !greeted ? batch : null;
  }

  function advance(): void {
    if (read === null || loading || ended) return;
    if (mode === 'live') {
      takeHeld();
      return;
    }
    loading = true;
    load().then(
      batch => {
        loading = false;
        if (ended) return;
        if (batch === null) advance();
        else give(batch);
      },
      (error: unknown) => {
        const waiting = read;
        read = null;
        end();
        waiting?.reject(error);
      },
    );
  }

  function missed(): void {
    misses += 1;
    held = [];
    if (mode === 'live') mode = 'store';
    advance();
  }

  const stream: Stream<JobUpdates> = {
    [Symbol.asyncIterator]: () => stream,
    next() {
      if (ended) return Promise.resolve({ value: undefined, done: true });
      return new Promise((resolve, reject) => {
        read = { resolve, reject };
        advance();
      });
    },
    return() {
      const waiting = read;
      read = null;
      end();
      waiting?.resolve({ value: undefined, done: true });
      return Promise.resolve({ value: undefined, done: true });
    },
  };

  return {
    stream,
    missed,
    offer(batches) {
      if (ended) return;
      const joined = held.length === 0 ? batches : joinBatches(source.sequence(), [...held, ...batches]);
      if (joined === null) missed();
      else {
        held = joined;
        if (mode === 'live') advance();
      }
    },
  };
}
