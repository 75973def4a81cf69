import type { ExecutionResult } from 'graphql';
import { receiveNext } from '../concurrency/mailbox.ts';
import {
  addTo,
  createSmallSet,
  forEachOf,
  isEmpty,
  removeFrom,
  type SmallSet,
} from '../concurrency/small-set.ts';
import { type EventSource, type NoSource, type SharedResult, whenResult } from './live.ts';

/** One reader of a subscription. Its methods should be shared too: there are thousands of subscribers. */
export interface Subscriber {
  /**
   * Hands on the newest result, which may replace one that was offered before and not read yet; returns whether it did.
   * Must not throw.
   */
  offer(result: SharedResult): boolean;
  /** Calls back once, when the next result that is offered will not replace one. Perhaps at once; never after the end. */
  whenReady(callback: () => void): void;
  /** No result follows: it leaves once the last one was read. */
  end(): void;
}

/** A subscriber as the subscription that it joins knows it. */
export interface Member extends Subscriber {
  /** Whether it does not want results any more. */
  readonly left: boolean;
  /** Called once, when it has joined; it removes itself from the place when it leaves. */
  joined(place: Place): void;
  /** Its subscription failed: hands on the result that says why, after which none follows. Must not throw. */
  fail(result: SharedResult): void;
}

/** A subscription as its members know it. */
export interface Place {
  remove(member: Member): void;
}

/** Subscriptions that are executed once for all their subscribers. */
export interface SharedSubscriptions {
  /**
   * Adds a member to the subscription under `key`; returns the result that says why there is none, null if there is one. The
   * first member opens the subscription; later ones are offered the newest result at once. It is closed when the last one
   * leaves. Rejects when opening does.
   */
  join(
    key: string,
    open: () => Promise<EventSource | NoSource>,
    member: Member,
  ): Promise<ExecutionResult | null>;
  /** Open subscriptions. */
  size(): number;
}

/** Starts without subscriptions. */
export function createSharedSubscriptions(): SharedSubscriptions {
  const groups = new Map<string, Group>();

  async function lead(
    group: Group,
    open: () => Promise<EventSource | NoSource>,
    member: Member,
  ): Promise<ExecutionResult | null> {
    groups.set(group.key, group);
    try {
      group.opening = open();
      const opened = await group.opening;
      group.opening = null;
      if (opened.kind === 'none') {
        group.drop();
        return opened.result;
      }
      group.read(opened, member);
      return null;
    } catch (error) {
      group.drop();
      throw error;
    }
  }

  async function join(
    key: string,
    open: () => Promise<EventSource | NoSource>,
    member: Member,
  ): Promise<ExecutionResult | null> {
    const group = groups.get(key);
    if (group === undefined) return lead(new Group(groups, key), open, member);
    const opened = await group.opening;
    if (opened?.kind === 'none') return opened.result;
    // It may have ended meanwhile: then a new one is opened.
    if (groups.get(key) !== group) return join(key, open, member);
    group.enter(member);
    return null;
  }

  return { join, size: () => groups.size };
}

/** One subscription. A class without closures, because there may be one for each of thousands of subscribers. */
class Group implements Place {
  readonly key: string;
  readonly #groups: Map<string, Group>;
  readonly #members: SmallSet<Member> = createSmallSet();
  #source: EventSource | null = null;
  #newest: SharedResult | null = null;
  /** Null once it is open. */
  opening: Promise<EventSource | NoSource> | null = null;

  constructor(groups: Map<string, Group>, key: string) {
    this.#groups = groups;
    this.key = key;
  }

  /** Adds the first member and passes results on until the end. */
  read(source: EventSource, first: Member): void {
    this.#source = source;
    this.enter(first);
    // It left while the source was opened.
    if (isEmpty(this.#members)) this.#close();
    else receiveNext(source.events, this);
  }

  enter(member: Member): void {
    if (member.left) return;
    addTo(this.#members, member);
    member.joined(this);
    if (this.#newest !== null) member.offer(this.#newest);
  }

  remove(member: Member): void {
    removeFrom(this.#members, member);
    if (isEmpty(this.#members)) this.#close();
  }

  receive(event: unknown): void {
    if (this.#source !== null) whenResult(this.#source, event, this);
  }

  take(shared: SharedResult): void {
    this.#newest = shared;
    forEachOf(this.#members, member => member.offer(shared));
    if (this.#source !== null) receiveNext(this.#source.events, this);
  }

  finish(): void {
    this.drop();
    this.#source = null;
    forEachOf(this.#members, member => member.end());
  }

  fail(error: unknown): void {
    const source = this.#source;
    // Every subscriber has left.
    if (source === null) return;
    this.#close();
    const result = source.failure(error);
    forEachOf(this.#members, member => member.fail(result));
  }

  drop(): void {
    if (this.#groups.get(this.key) === this) this.#groups.delete(this.key);
  }

  #close(): void {
    this.drop();
    // Its subscribers have left, or get an earlier error.
    this.#source?.events.return?.().catch(() => undefined);
    this.#source = null;
  }
}
