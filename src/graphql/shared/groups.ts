import type { ExecutionResult } from 'graphql';
import { createMailbox, type Mailbox, type Stream } from '../../jobs/mailbox.ts';

/** What graphql-js' `subscribe` gives: a stream of results, or one result that says why there is none. */
export type Subscribed = AsyncIterable<ExecutionResult> | ExecutionResult;

/** Subscriptions that are executed once however many watch. */
export interface SharedSubscriptions {
  /**
   * The results of the subscription that `key` stands for. The first to come opens it; who comes later gets the newest
   * result at once and then every newer one. Whoever reads slowly gets the newest, not a backlog. When the last one
   * leaves, the subscription is closed.
   */
  join(key: string, open: () => Promise<Subscribed>): Promise<Subscribed>;
  /** Subscriptions that run now. */
  size(): number;
}

interface Group {
  readonly opened: Promise<Subscribed>;
  readonly members: Set<Mailbox<ExecutionResult>>;
  newest: ExecutionResult | null;
  close: (() => void) | null;
}

/** Starts with no subscription. */
export function createSharedSubscriptions(): SharedSubscriptions {
  const groups = new Map<string, Group>();

  function drop(key: string, group: Group): void {
    if (groups.get(key) === group) groups.delete(key);
  }

  async function pump(key: string, group: Group, results: AsyncIterable<ExecutionResult>): Promise<void> {
    const iterator = results[Symbol.asyncIterator]();
    group.close = () => {
      drop(key, group);
      // It ends by itself; nobody is left to hear how.
      iterator.return?.().catch(() => undefined);
    };
    try {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        group.newest = next.value;
        for (const member of group.members) member.offer(next.value);
      }
    } finally {
      drop(key, group);
      for (const member of [...group.members]) member.end();
    }
  }

  function enter(group: Group): Stream<ExecutionResult> {
    const member: Mailbox<ExecutionResult> = createMailbox(() => {
      group.members.delete(member);
      if (group.members.size === 0) group.close?.();
    });
    group.members.add(member);
    if (group.newest !== null) member.offer(group.newest);
    return member.stream;
  }

  return {
    async join(key, open) {
      const present = groups.get(key);
      if (present !== undefined) {
        const subscribed = await present.opened;
        // It may have ended, or been refused, while we waited: then we open our own.
        if (groups.get(key) === present && isStream(subscribed)) return enter(present);
        return isStream(subscribed) ? this.join(key, open) : subscribed;
      }
      const group: Group = { opened: open(), members: new Set(), newest: null, close: null };
      groups.set(key, group);
      try {
        const subscribed = await group.opened;
        if (!isStream(subscribed)) {
          drop(key, group);
          return subscribed;
        }
        const stream = enter(group);
        pump(key, group, subscribed).catch(() => {
          // A source that breaks ends its watchers, who ask anew; graphql-js turns errors of fields into results.
        });
        return stream;
      } catch (error) {
        drop(key, group);
        throw error;
      }
    },
    size: () => groups.size,
  };
}

function isStream(subscribed: Subscribed): subscribed is AsyncIterable<ExecutionResult> {
  return Symbol.asyncIterator in subscribed;
}
