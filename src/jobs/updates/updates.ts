import type { Stream } from '../../concurrency/mailbox.ts';
import type { Feed, Ledger } from '../ports.ts';
import { BATCH, type Batch, batchOf, type JobUpdates } from './batch.ts';
import { type Channel, createChannel, isOfInterest, type UpdatesFilter, withoutPreview } from './channel.ts';
import type { Position } from './position.ts';
import { createReader, type Reader, type Source } from './reader.ts';

export type { JobUpdates } from './batch.ts';

/** Changes of every job of a caller, each job in its newest state. */
export type UpdatesStream = Stream<JobUpdates>;

export interface UpdatesOptions extends UpdatesFilter {
  /** Only this caller's jobs; null: every caller's. */
  readonly owner: string | null;
  /** Continues after this position. Null, or a position that the store no longer knows: begins with a reset. */
  readonly since: Position | null;
  /** How many jobs a reset has, at most BATCH. */
  readonly first: number;
}

export interface Updates {
  /**
   * Streams what changed since a position, then each change. A slow reader gets the newest state of each changed job. It
   * rejects with StoreUnavailable, or the stream does when the store goes away while it is read.
   */
  watch(options: UpdatesOptions): Promise<UpdatesStream>;
}

/** Readers that want the same, with the one watch of the feed that serves them. */
interface Group {
  readonly readers: Set<Reader>;
  readonly source: Source;
  readonly channel: Channel;
  /** Resolves once no later change is missed. */
  joined: Promise<() => void>;
}

/** Holds nothing while there are no readers. */
export function createUpdates(
  ledger: Pick<Ledger, 'changes' | 'list'>,
  feed: Pick<Feed, 'watchAll'>,
): Updates {
  const groups = new Map<string, Group>();

  function enter(key: string, wanted: UpdatesOptions): Group {
    const known = groups.get(key);
    if (known !== undefined) return known;
    const readers = new Set<Reader>();
    const source = createSource(ledger, wanted);
    const channel = createChannel({
      ...wanted,
      sequence: source.sequence,
      send(batches) {
        for (const reader of readers) reader.offer(batches);
      },
      onMissed() {
        for (const reader of readers) reader.missed();
      },
    });
    const group = { readers, source, channel, joined: feed.watchAll(wanted.owner, channel) };
    groups.set(key, group);
    return group;
  }

  async function leave(key: string, group: Group, reader: Reader): Promise<void> {
    group.readers.delete(reader);
    if (group.readers.size > 0) return;
    if (groups.get(key) === group) groups.delete(key);
    group.channel.stop();
    // A watch that never began was reported to its readers.
    const stop = await group.joined.catch(() => null);
    stop?.();
  }

  return {
    async watch(wanted) {
      const { owner, statuses, previews, maxPerSecond } = wanted;
      const key = JSON.stringify([owner, statuses?.toSorted() ?? null, previews, maxPerSecond]);
      const group = enter(key, wanted);
      const reader: Reader = createReader({
        ...wanted,
        source: group.source,
        onEnd: () => void leave(key, group, reader),
      });
      group.readers.add(reader);
      try {
        await group.joined;
      } catch (error) {
        await reader.stream.return();
        throw error;
      }
      return reader.stream;
    },
  };
}

/** Reads the store for the readers with the same filter. */
function createSource(
  ledger: Pick<Ledger, 'changes' | 'list'>,
  { owner, statuses, previews }: UpdatesOptions,
): Source {
  let sequence = '';
  const newest = createShared<Batch>();
  const after = createShared<Awaited<ReturnType<Source['after']>>>();

  async function readNewest(first: number): Promise<Batch> {
    const head = await ledger.changes({ owner, after: 0, limit: 0 });
    const page = first === 0 ? { jobs: [] } : await ledger.list({ owner, statuses, first, after: null });
    sequence = head.sequence;
    const changes = page.jobs.map(job => ({
      jobId: job.id,
      number: head.newest,
      job: previews ? job : withoutPreview(job),
    }));
    return batchOf(sequence, changes, head.newest, true);
  }

  async function readAfter({ sequence: name, number }: Position): ReturnType<Source['after']> {
    const page = await ledger.changes({ owner, after: number, limit: BATCH });
    sequence = page.sequence;
    const isKnown = number === page.newest || (number < page.newest && number >= page.forgotten);
    if (name !== page.sequence || !isKnown) return null;
    const isLast = page.changes.length < BATCH;
    const until = isLast ? page.newest : (page.changes.at(-1)?.number ?? page.newest);
    const changes = page.changes.flatMap(change => {
      const { job } = change;
      if (job === null) return [change];
      if (!isOfInterest(statuses, job)) return [];
      return [{ ...change, job: previews ? job : withoutPreview(job) }];
    });
    return { batch: batchOf(sequence, changes, until), isLast };
  }

  return {
    newest: first => newest(String(first), () => readNewest(first)),
    after: position => after(`${position.sequence} ${position.number}`, () => readAfter(position)),
    sequence: () => sequence,
  };
}

/** Calls for the same key while one runs get its result. */
function createShared<T>(): (key: string, read: () => Promise<T>) => Promise<T> {
  const running = new Map<string, Promise<T>>();
  return (key, read) => {
    const known = running.get(key);
    if (known !== undefined) return known;
    // A caller that comes once it has begun may know of a change that came since.
    const started = Promise.resolve().then(() => {
      running.delete(key);
      return read();
    });
    running.set(key, started);
    return started;
  };
}
