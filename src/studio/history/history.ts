import { computed, effect, type ReadonlySignal, type Signal, signal } from '@preact/signals';
import type { Client, JobPage, JobSnapshot, JobStatus } from '../../client/client.ts';
import type { Announcer } from '../app/announcer.ts';
import type { Feed } from '../jobs/feed.ts';
import type { Session } from '../signin/session.ts';
import { texts } from '../texts.ts';

/** Which jobs are shown, by their status. */
export const FILTERS = {
  all: null,
  active: ['QUEUED', 'PROCESSING'],
  ready: ['COMPLETED'],
  failed: ['ERROR'],
  canceled: ['CANCELED'],
} as const satisfies Record<string, readonly JobStatus[] | null>;
export type Filter = keyof typeof FILTERS;

export interface HistoryItem {
  readonly id: string;
  readonly prompt: string;
  readonly snapshot: ReadonlySignal<JobSnapshot>;
}

/** All jobs of the caller, newest first. */
export interface History {
  /** Those that match the filter and the words. */
  readonly shown: ReadonlySignal<readonly HistoryItem[]>;
  readonly filter: ReadonlySignal<Filter>;
  /** What the prompt or the label of a job has in it. */
  readonly words: Signal<string>;
  readonly state: ReadonlySignal<'loading' | 'more' | 'all'>;
  /** Rises with each page that was read. */
  readonly pages: ReadonlySignal<number>;
  readonly fault: ReadonlySignal<string | null>;
  choose(filter: Filter): void;
  /** Reads the next page. */
  more(): Promise<void>;
  remove(id: string): Promise<void>;
  /** Reads a job again, for new addresses of its images. */
  refresh(id: string): Promise<void>;
  /** Reads the first page, then follows changes until the returned function is called. */
  open(): () => void;
}

interface Item extends HistoryItem {
  readonly snapshot: Signal<JobSnapshot>;
}

/** Few, so that no page takes long to render. */
const PAGE = 24;
/** The shortest time between two reads of a job for its images, in milliseconds. */
const REFRESH_MS = 10_000;

export function createHistory({
  client,
  session,
  feed,
  announcer,
}: {
  readonly client: Client;
  readonly session: Session;
  readonly feed: Feed;
  readonly announcer: Announcer;
}): History {
  const known = new Map<string, Item>();
  const refreshed = new Map<string, number>();
  const items = signal<readonly Item[]>([]);
  const filter = signal<Filter>('all');
  const words = signal('');
  const state = signal<'loading' | 'more' | 'all'>('loading');
  const pages = signal(0);
  const fault = signal<string | null>(null);
  let after: string | null = null;
  let reading = new AbortController();

  const shown = computed(() => {
    const statuses: readonly JobStatus[] | null = FILTERS[filter.value];
    const wanted = words.value.trim().toLowerCase();
    // A status that changes brings a new list, so progress does not render it again.
    return items.value.filter(({ prompt, snapshot }) => {
      const { status, label } = snapshot.peek();
      if (statuses !== null && !statuses.includes(status)) return false;
      return wanted === '' || `${prompt}\n${label ?? ''}`.toLowerCase().includes(wanted);
    });
  });

  function take(jobs: JobPage['nodes'], removed: readonly string[] = []): void {
    let moved = removed.map(id => known.delete(id)).includes(true);
    for (const { request, ...now } of jobs) {
      const item = known.get(now.id);
      if (item === undefined) {
        known.set(now.id, { id: now.id, prompt: request.prompt, snapshot: signal(now) });
        moved = true;
      } else if (now.revision >= item.snapshot.peek().revision) {
        moved ||= now.status !== item.snapshot.peek().status;
        item.snapshot.value = now;
      }
    }
    if (moved) items.value = [...known.values()].sort(newestFirst);
  }

  async function more(): Promise<void> {
    const { signal: aborted } = reading;
    state.value = 'loading';
    fault.value = null;
    try {
      const variables = { first: PAGE, after, status: statusesOf(filter.peek()) };
      const { nodes, pageInfo } = await session.insist(() => client.jobs(variables, { signal: aborted }));
      if (aborted.aborted) return;
      take(nodes);
      after = pageInfo.endCursor;
      state.value = pageInfo.hasNextPage ? 'more' : 'all';
      pages.value += 1;
    } catch (error) {
      if (aborted.aborted) return;
      fault.value = texts.failure(error);
      state.value = 'more';
    }
  }

  function restart(): void {
    reading.abort();
    reading = new AbortController();
    known.clear();
    items.value = [];
    after = null;
    void more();
  }

  return {
    shown,
    filter,
    words,
    state,
    pages,
    fault,
    more,
    choose(next) {
      filter.value = next;
      restart();
    },
    async remove(id) {
      try {
        await session.insist(() => client.delete(id));
        take([], [id]);
        announcer.say(texts.jobs.deleted);
      } catch (error) {
        fault.value = texts.failure(error);
      }
    },
    async refresh(id) {
      const item = known.get(id);
      if (item === undefined || Date.now() - (refreshed.get(id) ?? 0) < REFRESH_MS) return;
      refreshed.set(id, Date.now());
      try {
        const now = await client.job(id);
        if (now === null) take([], [id]);
        else item.snapshot.value = now;
      } catch (error) {
        if (!session.concerns(error)) fault.value = texts.failure(error);
      }
    },
    open() {
      restart();
      const stop = feed.listen(({ reset, jobs, removed }) => (reset ? restart() : take(jobs, removed)));
      const stopSpeaking = effect(() => {
        if (words.value !== '') announcer.say(texts.history.found(shown.value.length));
      });
      return () => {
        stop();
        stopSpeaking();
        reading.abort();
      };
    },
  };
}

function statusesOf(filter: Filter): JobStatus[] | null {
  const statuses = FILTERS[filter];
  return statuses === null ? null : [...statuses];
}

function newestFirst(one: Item, other: Item): number {
  const [left, right] = [one.snapshot.peek().createdAt, other.snapshot.peek().createdAt];
  return right.localeCompare(left) || other.id.localeCompare(one.id);
}
