import {
  createSourceEventStream,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  type GraphQLError,
  type GraphQLSchema,
} from 'graphql';
import {
  addTo,
  createSmallSet,
  forEachOf,
  isEmpty,
  removeFrom,
  type SmallSet,
} from '../concurrency/small-set.ts';
import type { GraphQLContext } from '../graphql/context.ts';
import type { ValidDocument } from './documents.ts';
import { formatResult, type Mask, maskResult } from './errors.ts';

/** What graphql-js' `subscribe` returns: a stream of results, or the one result that says why there is none. */
export type Subscribed = AsyncIterable<ExecutionResult> | ExecutionResult;

/** A result on its way to all subscribers of a subscription. The newest is held for each, so it is kept encoded alone. */
export interface SharedResult {
  /**
   * JSON as UTF-8, and one brace more: it closes the message that a socket sends around the result. Up to `LONGEST_STRING`
   * bytes a string of bytes: each character is one byte (`latin1`). A longer one is shared by the connections that send it.
   */
  readonly message: string | Buffer;
  readonly errors: readonly GraphQLError[] | undefined;
}

/** One reader of a shared subscription. Its methods should be shared too: there are thousands of subscribers. */
export interface Subscriber {
  /** What the transport reads. It calls the `leave` that the subscriber was made with when it ends or its reader goes. */
  readonly stream: AsyncIterable<ExecutionResult>;
  /**
   * Hands on the newest result, which may replace one that was offered before and not read yet; returns whether it did.
   * Must not throw.
   */
  offer(result: SharedResult): boolean;
  /** Calls back once, when the next result that is offered will not replace one. Perhaps at once; never after the end. */
  whenReady(callback: () => void): void;
  /** No result follows: the stream ends once the last one was read. */
  end(): void;
}

/** Subscriptions that are executed once for all their subscribers. */
export interface SharedSubscriptions {
  /**
   * Adds a subscriber to the subscription under `key` and returns its stream, or the result that says why there is none.
   * The first one opens the subscription; later ones are offered the newest result at once. It is closed when the last
   * one leaves. Rejects when opening does. `onLeave` is called when the subscriber leaves, if it ever joined.
   */
  join(
    key: string,
    open: () => Promise<Subscribed>,
    subscriberOf: (leave: () => void) => Subscriber,
    onLeave: () => void,
  ): Promise<Subscribed>;
  /** Open subscriptions. */
  size(): number;
}

interface Group {
  readonly opened: Promise<Subscribed>;
  readonly subscribers: SmallSet<Subscriber>;
  newest: SharedResult | null;
  close(): void;
}

/** Starts without subscriptions. */
export function createSharedSubscriptions(): SharedSubscriptions {
  const groups = new Map<string, Group>();

  function drop(key: string, group: Group): void {
    if (groups.get(key) === group) groups.delete(key);
  }

  /** Passes results on until the end. It waits with callbacks: a suspended function would hold the last result. */
  function pump(key: string, group: Group, results: AsyncIterator<ExecutionResult>): void {
    function wait(): void {
      // A source that breaks ends its subscribers, which subscribe again; graphql-js turns field errors into results.
      results.next().then(take, finish);
    }

    function take({ value, done }: IteratorResult<ExecutionResult>): void {
      if (done) finish();
      else {
        const shared = sharedResult(value);
        group.newest = shared;
        forEachOf(group.subscribers, subscriber => subscriber.offer(shared));
        wait();
      }
    }

    function finish(): void {
      drop(key, group);
      forEachOf(group.subscribers, subscriber => subscriber.end());
    }

    wait();
  }

  function enter(
    group: Group,
    subscriberOf: (leave: () => void) => Subscriber,
    onLeave: () => void,
  ): Subscribed {
    const subscriber = subscriberOf(() => {
      removeFrom(group.subscribers, subscriber);
      if (isEmpty(group.subscribers)) group.close();
      onLeave();
    });
    addTo(group.subscribers, subscriber);
    if (group.newest !== null) subscriber.offer(group.newest);
    return subscriber.stream;
  }

  async function lead(
    key: string,
    open: () => Promise<Subscribed>,
    subscriberOf: (leave: () => void) => Subscriber,
    onLeave: () => void,
  ): Promise<Subscribed> {
    const group: Group = { opened: open(), subscribers: createSmallSet(), newest: null, close: () => {} };
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
        // No subscriber is left that could see it fail.
        results.return?.().catch(() => undefined);
      };
      const stream = enter(group, subscriberOf, onLeave);
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
    subscriberOf: (leave: () => void) => Subscriber,
    onLeave: () => void,
  ): Promise<Subscribed> {
    const group = groups.get(key);
    if (group === undefined) return lead(key, open, subscriberOf, onLeave);
    const subscribed = await group.opened;
    if (!isStream(subscribed)) return subscribed;
    // It may have ended meanwhile: then a new one is opened.
    return groups.get(key) === group
      ? enter(group, subscriberOf, onLeave)
      : join(key, open, subscriberOf, onLeave);
  }

  return { join, size: () => groups.size };
}

/** Node writes a string of up to 16 KiB from the stack (`StreamBase::WriteString`); the start of a frame is before it. */
const LONGEST_STRING = 15 * 1024;

function sharedResult(result: ExecutionResult): SharedResult {
  const bytes = bytesOf(`${JSON.stringify(formatResult(result))}}`);
  return {
    message: bytes.length > LONGEST_STRING ? Buffer.from(bytes, 'latin1') : bytes,
    errors: result.errors,
  };
}

/** The UTF-8 of a text as a string in which each character is one byte. */
export function bytesOf(text: string): string {
  return Buffer.byteLength(text) === text.length ? text : Buffer.from(text).toString('latin1');
}

/** Whether it is a stream of results. */
export function isStream(subscribed: Subscribed): subscribed is AsyncIterable<ExecutionResult> {
  return Symbol.asyncIterator in subscribed;
}

/** A subscription that was prepared. Held for as long as it runs. */
export interface LiveOperation {
  readonly schema: GraphQLSchema;
  readonly known: ValidDocument;
  readonly operationName: string | null;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly context: GraphQLContext;
}

type Step = IteratorResult<ExecutionResult, undefined>;

/**
 * Opens the source of a subscription and returns its results, one for each event, or the one result that says why there
 * is none. The document is not checked again. The stream ends with the source; `return` ends the source.
 */
export async function openLive(operation: LiveOperation, mask: Mask): Promise<Subscribed> {
  const source = await createSourceEventStream(argsOf(operation));
  if (!(Symbol.asyncIterator in source)) return maskResult(source, mask, operation.context.requestId);
  return new LiveResults(operation, mask, source[Symbol.asyncIterator]());
}

/** No source, and the result that says why. */
export interface NoSource {
  readonly kind: 'none';
  readonly result: ExecutionResult;
}

/** Events of a subscription, with the way to their results. */
export interface EventSource {
  readonly kind: 'events';
  readonly events: AsyncIterator<unknown>;
  /** Executes the subscription for an event, and encodes the result. */
  resultOf(event: unknown): Promise<SharedResult>;
}

/** Opens the source of a subscription for `Sequences`. */
export async function openSequence(operation: LiveOperation, mask: Mask): Promise<EventSource | NoSource> {
  const source = await createSourceEventStream(argsOf(operation));
  if (!(Symbol.asyncIterator in source))
    return { kind: 'none', result: maskResult(source, mask, operation.context.requestId) };
  return {
    kind: 'events',
    events: source[Symbol.asyncIterator](),
    resultOf: async event => sharedResult(await executeEvent(operation, mask, event)),
  };
}

/**
 * A class, because what closures capture is held for each subscription while nothing happens. For the same reason `next`
 * waits with a callback, which takes less than a suspended function.
 */
class LiveResults implements AsyncIterableIterator<ExecutionResult, undefined> {
  readonly #operation: LiveOperation;
  readonly #mask: Mask;
  readonly #events: AsyncIterator<unknown>;

  constructor(operation: LiveOperation, mask: Mask, events: AsyncIterator<unknown>) {
    this.#operation = operation;
    this.#mask = mask;
    this.#events = events;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Step> {
    return this.#events.next().then(step => this.#resultOf(step));
  }

  async return(): Promise<Step> {
    await this.#events.return?.();
    return { done: true, value: undefined };
  }

  async #resultOf(step: IteratorResult<unknown>): Promise<Step> {
    if (step.done === true) return { done: true, value: undefined };
    return { done: false, value: await executeEvent(this.#operation, this.#mask, step.value) };
  }
}

async function executeEvent(operation: LiveOperation, mask: Mask, event: unknown): Promise<ExecutionResult> {
  const result = await operation.known.compiled()?.(operation.context, operation.variables, event);
  // Errors are reported with graphql-js' messages.
  if (result !== undefined && result.errors === undefined) return result;
  const executed = await execute({ ...argsOf(operation), rootValue: event });
  return maskResult(executed, mask, operation.context.requestId);
}

function argsOf({ schema, known, operationName, variables, context }: LiveOperation): ExecutionArgs {
  return {
    schema,
    document: known.document,
    operationName,
    variableValues: variables,
    contextValue: context,
  };
}
