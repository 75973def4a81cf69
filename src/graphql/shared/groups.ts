import type { ExecutionResult } from 'graphql';

/** What graphql-js' `subscribe` gives: a stream of results, or one result that says why there is none. */
export type Subscribed = AsyncIterable<ExecutionResult> | ExecutionResult;

/** One who watches. */
export interface Member<Item> {
  /** Takes the newest; what was taken before and not read yet may be let go. Never throws. */
  offer(item: Item): void;
  /** Nothing newer comes: the stream ends when what was taken last is read. */
  end(): void;
  /** What the member is answered with. It calls `leave` when its reader goes, and when it ends. */
  readonly stream: AsyncIterable<ExecutionResult>;
}

/** Subscriptions that are executed once however many watch. */
export interface SharedSubscriptions<Item> {
  /**
   * Makes one more member of the subscription that `key` stands for, and gives its stream; or the result that says why
   * there is none. The first to come opens it; who comes later is offered the newest result at once and then every newer
   * one. When the last one leaves, the subscription is closed. Rejects when opening does.
   */
  join(
    key: string,
    open: () => Promise<Subscribed>,
    enter: (leave: () => void) => Member<Item>,
  ): Promise<Subscribed>;
  /** Subscriptions that run now. */
  size(): number;
}

interface Group<Item> {
  readonly opened: Promise<Subscribed>;
  readonly members: Set<Member<Item>>;
  newest: { readonly item: Item } | null;
  close(): void;
}

/** Starts with no subscription. `itemOf` is called once for each result, and makes what all members are offered. */
export function createSharedSubscriptions<Item>(
  itemOf: (result: ExecutionResult) => Item,
): SharedSubscriptions<Item> {
  const groups = new Map<string, Group<Item>>();

  function drop(key: string, group: Group<Item>): void {
    if (groups.get(key) === group) groups.delete(key);
  }

  /** Hands on what comes, to the end. It waits with callbacks: a suspended function would hold the last result. */
  function pump(key: string, group: Group<Item>, results: AsyncIterator<ExecutionResult>): void {
    function wait(): void {
      // A source that breaks ends its watchers, who ask anew; graphql-js turns errors of fields into results.
      results.next().then(take).catch(finish);
    }

    function take({ value, done }: IteratorResult<ExecutionResult>): void {
      if (done) finish();
      else {
        const item = itemOf(value);
        group.newest = { item };
        for (const member of group.members) member.offer(item);
        wait();
      }
    }

    function finish(): void {
      drop(key, group);
      for (const member of [...group.members]) member.end();
    }

    wait();
  }

  function enter(group: Group<Item>, make: (leave: () => void) => Member<Item>): Subscribed {
    const member = make(() => {
      group.members.delete(member);
      if (group.members.size === 0) group.close();
    });
    group.members.add(member);
    if (group.newest !== null) member.offer(group.newest.item);
    return member.stream;
  }

  async function lead(
    key: string,
    open: () => Promise<Subscribed>,
    make: (leave: () => void) => Member<Item>,
  ): Promise<Subscribed> {
    const group: Group<Item> = { opened: open(), members: new Set(), newest: null, close: () => {} };
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
    make: (leave: () => void) => Member<Item>,
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
