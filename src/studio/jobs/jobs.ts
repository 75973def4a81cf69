import { computed, effect, type ReadonlySignal, type Signal, signal } from '@preact/signals';
import {
  type Client,
  GatewayError,
  isFinal,
  type JobPage,
  type JobRequest,
  type JobSnapshot,
} from '../../client/client.ts';
import type { Announcer } from '../app/announcer.ts';
import type { Route } from '../app/route.ts';
import type { Store } from '../app/storage.ts';
import type { Session } from '../signin/session.ts';
import { texts } from '../texts.ts';
import { expiryOf } from '../ui/signed-url.ts';
import type { Feed } from './feed.ts';

/** A job of the caller as the page knows it. */
export interface LiveJob {
  readonly id: string;
  readonly prompt: string;
  readonly snapshot: ReadonlySignal<JobSnapshot>;
  /** Whether the connection that brings its changes is being reopened. */
  readonly away: ReadonlySignal<boolean>;
}

/** The newest jobs of the caller, each followed until it ends. */
export interface Jobs {
  /** Newest first. */
  readonly list: ReadonlySignal<readonly LiveJob[]>;
  /** The one that the address names. */
  readonly selected: ReadonlySignal<LiveJob | null>;
  /** Why an action or the list failed. */
  readonly fault: ReadonlySignal<string | null>;
  /** Reads the newest jobs. Those that have not ended are followed, so a page that was closed finds them where they are. */
  load(): Promise<void>;
  /** Takes up a job that was submitted, and selects it. */
  add(snapshot: JobSnapshot, prompt: string): void;
  select(id: string | null): void;
  cancel(id: string): Promise<void>;
  remove(id: string): Promise<void>;
  /** Reads a job that has ended again, at most every few seconds: an image of it could not be loaded. */
  renew(id: string): void;
  /** Submits the same request once more. */
  retry(id: string): Promise<void>;
  /** What a job was submitted with; null when it is gone. */
  request(id: string): Promise<JobRequest | null>;
  stop(): void;
}

interface Entry extends LiveJob {
  readonly snapshot: Signal<JobSnapshot>;
  readonly away: Signal<boolean>;
}

/** How many jobs the page keeps at hand. The history has all. */
const NEWEST = 24;
/** Snapshots per second: more cannot be told apart. */
const MAX_PER_SECOND = 8;
/** How often the selected job is read while it waits, in milliseconds. */
const WAITING_MS = 2_000;
/** How long before its end a signed address is renewed, and the shortest time until that, in milliseconds. */
const RENEW_BEFORE_MS = 60_000;
const MIN_RENEW_MS = 10_000;
/** Jobs that are followed at once, of the operations that a gateway accepts on a socket. */
const MAX_FOLLOWED = 30;

export function createJobs({
  client,
  session,
  store,
  route,
  announcer,
  feed,
}: {
  readonly client: Client;
  readonly session: Session;
  readonly store: Store;
  readonly route: Route;
  readonly announcer: Announcer;
  readonly feed: Feed;
}): Jobs {
  const list = signal<readonly Entry[]>([]);
  const fault = signal<string | null>(null);
  const stopped = new AbortController();
  const followed = new Set<string>();
  const renewed = new WeakMap<Entry, number>();
  const selected = computed(() => list.value.find(({ id }) => id === route.jobId.value) ?? null);
  const last = store.read('job');
  // A page that is opened anew shows what the last one showed.
  if (route.jobId.peek() === null && route.view.peek() === 'edit' && typeof last === 'string') {
    route.open('edit', last);
  }
  const stopKeeping = effect(() => {
    if (route.view.value === 'edit') store.write('job', route.jobId.value ?? undefined);
  });
  // What a job waits for changes without a change of the job.
  const waiting = computed(() =>
    selected.value?.snapshot.value.status === 'QUEUED' ? selected.value : null,
  );
  const stopReading = effect(() => {
    const entry = waiting.value;
    if (entry === null) return;
    const timer = setInterval(() => {
      client.job(entry.id, { signal: stopped.signal }).then(
        now => {
          if (now !== null && now.revision >= entry.snapshot.value.revision) entry.snapshot.value = now;
        },
        // The watch of the job tells of a lost connection.
        () => undefined,
      );
    }, WAITING_MS);
    return () => clearInterval(timer);
  });
  const stopListening = feed.listen(({ reset, jobs: changed, removed }) => {
    const ids = new Set(changed.map(({ id }) => id));
    const oldest = changed.at(-1)?.createdAt ?? '';
    const gone = list.value.filter(({ id, snapshot }) => !ids.has(id) && snapshot.value.createdAt > oldest);
    for (const id of reset ? gone.map(entry => entry.id) : removed) drop(id);
    for (const { request, ...snapshot } of changed) put(snapshot, request.prompt);
  });

  // Signed addresses of the selected job are renewed before they expire, for downloads and copies.
  const stopRenewing = effect(() => {
    const entry = selected.value;
    const url = entry?.snapshot.value.images[0]?.url;
    const expiry = url === undefined ? null : expiryOf(url);
    if (entry === null || expiry === null) return;
    const wait = Math.max(MIN_RENEW_MS, expiry - Date.now() - RENEW_BEFORE_MS);
    const timer = setTimeout(() => void renew(entry), wait);
    return () => clearTimeout(timer);
  });

  async function renew(entry: Entry): Promise<void> {
    if (!isFinal(entry.snapshot.value) || Date.now() - (renewed.get(entry) ?? 0) < MIN_RENEW_MS) return;
    renewed.set(entry, Date.now());
    try {
      const now = await client.job(entry.id, { signal: stopped.signal });
      if (now !== null) entry.snapshot.value = now;
    } catch (error) {
      report(error);
    }
  }

  function report(error: unknown): void {
    if (stopped.signal.aborted || session.concerns(error)) return;
    fault.value = texts.failure(error);
  }

  function put(snapshot: JobSnapshot, prompt: string): Entry {
    const known = list.value.find(({ id }) => id === snapshot.id);
    if (known !== undefined) {
      if (snapshot.revision > known.snapshot.value.revision) known.snapshot.value = snapshot;
      followUnlessFinal(known);
      return known;
    }
    const entry = { id: snapshot.id, prompt, snapshot: signal(snapshot), away: signal(false) };
    list.value = [...list.value, entry].sort((left, right) =>
      right.snapshot.value.createdAt.localeCompare(left.snapshot.value.createdAt),
    );
    followUnlessFinal(entry);
    return entry;
  }

  function followUnlessFinal(entry: Entry): void {
    const { id, snapshot } = entry;
    if (isFinal(snapshot.value) || followed.has(id) || followed.size >= MAX_FOLLOWED) return;
    followed.add(id);
    void follow(entry).finally(() => followed.delete(id));
  }

  async function follow({ id, snapshot, away }: Entry): Promise<void> {
    const options = {
      maxPerSecond: MAX_PER_SECOND,
      signal: stopped.signal,
      onRetry: () => {
        away.value = true;
      },
    };
    try {
      for await (const next of client.watch(id, options)) {
        announce(id, snapshot.value, next);
        snapshot.value = next;
        away.value = false;
      }
    } catch (error) {
      if (error instanceof GatewayError && error.kind === 'not-found') drop(id);
      else report(error);
    }
  }

  function announce(id: string, before: JobSnapshot, now: JobSnapshot): void {
    if (id !== selected.value?.id) return;
    const quarter = (progress: number): number => Math.floor(progress / 25);
    const moved = now.stage !== before.stage || quarter(now.progress) > quarter(before.progress);
    if (now.status !== before.status || (now.status === 'PROCESSING' && moved)) {
      announcer.say(texts.jobs.spoken(now));
    }
  }

  function drop(id: string): void {
    list.value = list.value.filter(known => known.id !== id);
    if (route.jobId.peek() === id) route.open('edit');
  }

  async function load(): Promise<void> {
    try {
      const page: JobPage = await client.jobs({ first: NEWEST }, { signal: stopped.signal });
      for (const { request, ...snapshot } of page.nodes) put(snapshot, request.prompt);
      const id = route.jobId.peek();
      if (id !== null && !list.value.some(known => known.id === id)) await loadOne(id);
      fault.value = null;
    } catch (error) {
      report(error);
    }
  }

  /** An older job that the address names. */
  async function loadOne(id: string): Promise<void> {
    const [snapshot, request] = await Promise.all([client.job(id), client.request(id)]);
    if (snapshot === null) route.open('edit');
    else put(snapshot, request?.prompt ?? '');
  }

  function add(snapshot: JobSnapshot, prompt: string): void {
    put(snapshot, prompt);
    route.open('edit', snapshot.id);
  }

  return {
    list,
    selected,
    fault,
    load,
    add,
    select(id) {
      route.open('edit', id);
      if (id !== null && !list.value.some(known => known.id === id)) loadOne(id).catch(report);
    },
    async cancel(id) {
      try {
        const result = await session.insist(() => client.cancel(id));
        if (result.__typename === 'EditJobNotFound') drop(id);
      } catch (error) {
        report(error);
      }
    },
    async remove(id) {
      try {
        await session.insist(() => client.delete(id));
        drop(id);
        announcer.say(texts.jobs.deleted);
      } catch (error) {
        report(error);
      }
    },
    renew(id) {
      const entry = list.value.find(known => known.id === id);
      if (entry !== undefined) void renew(entry);
    },
    async retry(id) {
      try {
        const result = await session.insist(() => client.retry(id));
        if (result.__typename !== 'EditJob') fault.value = result.message;
        else add(result, list.value.find(known => known.id === id)?.prompt ?? '');
      } catch (error) {
        report(error);
      }
    },
    request: id => client.request(id),
    stop() {
      stopped.abort();
      stopKeeping();
      stopReading();
      stopListening();
      stopRenewing();
    },
  };
}
