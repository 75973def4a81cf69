import type { ExecutionResult } from 'graphql';
import { addTo, type Few, few, forEachOf, isEmpty, removeFrom } from '../../jobs/few.ts';

/** What graphql-js' `subscribe` gives: a stream of results, or one result that says why there is none. */
export type Subscribed = AsyncIterable<ExecutionResult> | ExecutionResult;

/** One who watches. */
export interface Member {
  /** What the member is answered with. It calls `leave` when its reader goes, and when it ends. */
  readonly stream: AsyncIterable<ExecutionResult>;
}

/** How members get what there is for them. They are data: functions of their own would be held for each of thousands. */
export interface Delivery<Item, M extends Member> {
  /** Called once for each result: makes what all members are offered. */
  itemOf(result: ExecutionResult): Item;
  /** Hands on the newest; what was offered before and not read yet may be let go. Never throws. */
  offer(member: M, item: Item): void;
  /** Nothing newer comes: the stream ends when what was offered last is read. */
  end(member: M): void;
}

/** Subscriptions that are executed once however many watch. */
export interface SharedSubscriptions<M extends Member> {
  /**
   * Makes one more member of the subscription that `key` stands for, and gives its stream; or the result that says why
   * there is none. The first to come opens it; who comes later is offered the newest result at once and then every newer
   * one. When the last one leaves, the subscription is closed. Rejects when opening does.
   */
  join(key: string, open: () => Promise<Subscribed>, enter: (leave: () => void) => M): Promise<Subscribed>;
  /** Subscriptions that run now. */
  size(): number;
}

interface Group<Item, M extends Member> {
  readonly opened: Promise<Subscribed>;
  readonly members: Few<M>;
  newest: { readonly item: Item } | null;
  close(): void;
}

/** Starts with no subscription. */
export function createSharedSubscriptions<Item, M extends Member>({
  itemOf,
  offer,
  end,
}: Delivery<Item, M>): SharedSubscriptions<M> {
  const groups = new Map<string, Group<Item, M>>();

  function drop(key: string, group: Group<Item, M>): void {
    if (groups.get(key) === group) groups.delete(key);
  }

  /** Hands on what comes, to the end. It waits with callbacks: a suspended function would hold the last result. */
  function pump(key: string, group: Group<Item, M>, results: AsyncIterator<ExecutionResult>): void {
    function wait(): void {
      // A source that breaks ends its watchers, who ask anew; graphql-js turns errors of fields into results.
      results.next().then(take, finish);
    }

    function take({ value, done }: IteratorResult<ExecutionResult>): void {
      if (done) finish();
      else {
        const item = itemOf(value);
        group.newest = { item };
        forEachOf(group.members, member => offer(member, item));
        wait();
      }
    }

    function finish(): void {
      drop(key, group);
      forEachOf(group.members, end);
    }

    wait();
  }

  function enter(group: Group<Item, M>, make: (leave: () => void) => M): Subscribed {
    const member = make(() => {
      removeFrom(group.members, member);
      if (isEmpty(group.members)) group.close();
    });
    addTo(group.members, member);
    if (group.newest !== null) offer(member, group.newest.item);
    return member.stream;
  }

  async function lead(
    key: string,
    open: () => Promise<Subscribed>,
    make: (leave: () => void) => M,
  ): Promise<Subscribed> {
    const group: Group<Item, M> = { opened: open(), members: few(), newest: null, close: () => {} };
    groups.set(key, group);
    try {
      const subscribed = await group.opened;
      if (!isStream(subscribed)) {
        drop(key, group);
        return subscribed;
      }
      const results = subscribed[Symbol.asyncIterator]();
      group.close = () => {
        drop(key, group);
        // Nobody is left to hear how it ends.
        results.return?.().catch(() => undefined);
      };
      const stream = enter(group, make);
      pump(key, group, results);
      return stream;
    } catch (error) {
      drop(key, group);
      throw error;
    }
  }

  async function join(
    key: string,
    open: () => Promise<Subscribed>,
    make: (leave: () => void) => M,
  ): Promise<Subscribed> {
    const group = groups.get(key);
    if (group === undefined) return lead(key, open, make);
    const subscribed = await group.opened;
    if (!isStream(subscribed)) return subscribed;
    // It may have ended while we waited: then we open our own.
    return groups.get(key) === group ? enter(group, make) : join(key, open, make);
  }

  return { join, size: () => groups.size };
}

function isStream(subscribed: Subscribed): subscribed is AsyncIterable<ExecutionResult> {
  return Symbol.asyncIterator in subscribed;
}
