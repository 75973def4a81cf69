import type { Client, JobUpdates } from '../../client/client.ts';
import type { Session } from '../signin/session.ts';

/** All jobs of the caller, live: those of other tabs and other programs too. */
export interface Feed {
  /** Calls `take` with each change until the returned function is called. */
  listen(take: (updates: JobUpdates) => void): () => void;
  stop(): void;
}

/** Jobs of a reset. */
const NEWEST = 40;
/** How often a job is sent per second. The editor watches its own jobs more closely. */
const MAX_PER_SECOND = 2;
/** How long to wait after the gateway rejected the watch, in milliseconds. */
const AGAIN_MS = 10_000;

/** Watches from the first listener on. After a rejection for want of a key it goes on with the next sign-in. */
export function createFeed({
  client,
  session,
}: {
  readonly client: Client;
  readonly session: Session;
}): Feed {
  const listeners = new Set<(updates: JobUpdates) => void>();
  const stopped = new AbortController();
  let started = false;

  async function watch(): Promise<void> {
    const options = { first: NEWEST, maxPerSecond: MAX_PER_SECOND, signal: stopped.signal };
    for await (const updates of client.watchJobs(options)) for (const take of listeners) take(updates);
  }

  async function follow(): Promise<void> {
    while (!stopped.signal.aborted) {
      try {
        await session.insist(watch);
      } catch {
        // Too many subscriptions, for one: the lists are read without it, and stay as they are for a while.
        await new Promise(resolve => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  return {
    listen(take) {
      listeners.add(take);
      if (!started) void follow();
      started = true;
      return () => listeners.delete(take);
    },
    stop() {
      stopped.abort();
      listeners.clear();
    },
  };
}
