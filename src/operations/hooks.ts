import type { GraphQLError, OperationTypeNode } from 'graphql';
import type { Caller } from '../jobs/job.ts';
import type { Log } from '../log.ts';

/**
 * How an operation reached us: `sse` for server-sent events and `multipart` for parts by GET or POST, `callback` for results
 * that are posted to a router, `get` and `post` for one result over HTTP.
 */
export type Transport = 'post' | 'get' | 'sse' | 'multipart' | 'callback' | 'websocket';

export type OperationKind = `${OperationTypeNode}`;

/** An operation as hooks see it. */
export interface OperationInfo {
  /** Null when the document does not say: it is missing, unknown, not GraphQL, or has no such operation. */
  readonly kind: OperationKind | null;
  /** The name in the document, else the requested `operationName`; null for an anonymous operation. */
  readonly name: string | null;
  readonly caller: Caller;
  readonly transport: Transport;
}

/**
 * How an operation ended. `completed`: with a result without errors, or at the end of its stream. `failed`: with errors
 * of its execution. `rejected`: before it was executed, by a persisted document, validation, a limit or a quota. `left`: a
 * subscription's client went away or unsubscribed first.
 */
export type Outcome = 'completed' | 'failed' | 'rejected' | 'left';

/** What a hook gets to see of one operation after its start. */
export interface OperationObserver {
  /**
   * Called for each result, with its errors as the client gets them: once for a query or mutation, for each event of a
   * subscription. `replaced`: the client was too slow to get the result before, which this one replaces. Must not throw.
   */
  result?(errors: readonly GraphQLError[] | undefined, replaced: boolean): void;
  /** Called exactly once. `durationMs` counts from the start. Must not throw. */
  end?(outcome: Outcome, durationMs: number): void;
}

/** Called once as an operation starts, whatever the transport, rejected operations included. Must not throw. */
export type OnOperation = (operation: OperationInfo) => OperationObserver | undefined;

/** Passes the life of one operation on to all hooks. The first `end` counts; what is called after it does not. */
export interface Observation {
  result(errors: readonly GraphQLError[] | undefined, replaced: boolean): void;
  end(outcome: Outcome): void;
}

/** A class, because there is one for each of thousands of subscriptions. */
class Observing implements Observation {
  readonly #observer: OperationObserver;
  readonly #startedAt = performance.now();
  #ended = false;

  constructor(observer: OperationObserver) {
    this.#observer = observer;
  }

  result(errors: readonly GraphQLError[] | undefined, replaced: boolean): void {
    if (!this.#ended) this.#observer.result?.(errors, replaced);
  }

  end(outcome: Outcome): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#observer.end?.(outcome, performance.now() - this.#startedAt);
  }
}

/** Starts an operation. Null where nothing observes it, so that nothing is kept or measured for each operation. */
export function observe(hooks: readonly OnOperation[], operation: OperationInfo): Observation | null {
  const observers = hooks.map(hook => hook(operation)).filter(observer => observer !== undefined);
  const [only, another] = observers;
  if (only === undefined) return null;
  return new Observing(another === undefined ? only : together(observers));
}

function together(observers: readonly OperationObserver[]): OperationObserver {
  return {
    result(errors, replaced) {
      for (const observer of observers) observer.result?.(errors, replaced);
    },
    end(outcome, durationMs) {
      for (const observer of observers) observer.end?.(outcome, durationMs);
    },
  };
}

/** Logs each operation at its end, at the level `debug`; never its document, variables or result. */
export function logOperations(log: Log): OnOperation {
  return ({ kind, name, caller, transport }) => ({
    end(outcome, durationMs) {
      const ms = Math.round(durationMs * 10) / 10;
      log.debug({ kind, name, caller: caller.id, transport, outcome, ms }, 'operation ended');
    },
  });
}
