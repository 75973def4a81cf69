import {
  type ExecutionResult,
  execute,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  type OperationDefinitionNode,
} from 'graphql';
import type { GraphQLContext } from '../graphql/context.ts';
import { createDocuments, type DocumentLimits, type ValidDocument } from './documents.ts';
import { isStoreAway, type Mask, maskResult } from './errors.ts';
import {
  type Observation,
  type OnOperation,
  type OperationKind,
  type Outcome,
  observe,
  type Transport,
} from './hooks.ts';
import { openLive } from './live.ts';
import type { PersistedDocuments } from './persisted.ts';
import { type SubscriptionQuota, tooManySubscriptions } from './quota.ts';
import { CountedSubscriber, type Seat } from './seat.ts';
import { createSequences } from './sequences.ts';
import { createShareables } from './shareables.ts';
import { createSharedSubscriptions, type Member, type Subscriber } from './subscriptions.ts';

/** The parameters of a request (https://graphql.github.io/graphql-over-http/draft/#sec-Request-Parameters). */
export interface Parameters {
  readonly query?: string | null | undefined;
  readonly operationName?: string | null | undefined;
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined;
  readonly extensions?: Readonly<Record<string, unknown>> | null | undefined;
  /** The hash of a persisted document, instead of `query` (appendix A). */
  readonly documentId?: string | null | undefined;
}

/** Where an operation comes from. */
export interface Source {
  readonly transport: Transport;
  readonly context: GraphQLContext;
  /** The key under which the caller's subscriptions are counted. */
  readonly clientKey: string;
  /** Returns a signal that aborts when the client goes. Called only when it is needed: it costs as much as a small query. */
  readonly signal?: () => AbortSignal;
}

/** An operation that may be executed: its document is valid and within every limit. */
export interface Operation {
  readonly kind: OperationKind;
  readonly name: string | null;
  readonly known: ValidDocument;
  readonly definition: OperationDefinitionNode;
  readonly operationName: string | null;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** Parameters with their document written out. Apart from what the client sent, which may have a key of any name. */
export interface Resolved {
  readonly params: Parameters;
}

/** An operation that may not be executed, with what is known of it. */
export interface Rejected {
  readonly kind: OperationKind | null;
  readonly name: string | null;
  readonly errors: readonly GraphQLError[];
}

/** The subscriber of a subscription that runs, or the result that says why there is none. */
export type Subscribed<S extends Subscriber> =
  | { readonly subscriber: S }
  | { readonly result: ExecutionResult };

/**
 * The one way to run a GraphQL operation, without HTTP and without sockets: `prepare`, then exactly one of `run`, `live` and
 * `reject`. Each of the three starts and ends every hook once.
 */
export interface Operations {
  /** Writes out the document that parameters name by its hash. Never throws. */
  resolve(params: Parameters): Resolved | Rejected;
  /** Finds the document by its text or hash, parses and validates it, and holds it against the limits. Never throws. */
  prepare(params: Parameters): Operation | Rejected;
  /** Runs a query or mutation. Never rejects: errors are masked and part of the result. */
  run(operation: Operation, source: Source): Promise<ExecutionResult>;
  /**
   * Runs a subscription. One with the same document, variables and caller is executed once for all its subscribers, unless
   * it is a sequence, of which each event is.
   * `subscriberOf` makes the subscriber, which must leave once it ends, and may at once. Never rejects.
   */
  live<S extends Subscriber>(
    operation: Operation,
    source: Source,
    subscriberOf: (seat: Seat) => S,
  ): Promise<Subscribed<S>>;
  /** Reports an operation that is not executed. */
  reject(rejected: Rejected, source: Source): ExecutionResult;
}

export interface OperationsOptions {
  readonly schema: GraphQLSchema;
  readonly limits: DocumentLimits;
  readonly persisted: PersistedDocuments;
  readonly quota: SubscriptionQuota;
  readonly mask: Mask;
  /** Called for every operation, see `OnOperation`. */
  readonly hooks: readonly OnOperation[];
}

const NO_VARIABLES: Readonly<Record<string, unknown>> = {};

/** Builds the pipeline. It holds no resources of its own: subscriptions end with their subscribers. */
export function createOperations(options: OperationsOptions): Operations {
  const { schema, persisted, quota, mask, hooks } = options;
  const documents = createDocuments(schema, options.limits);
  const shareableOf = createShareables(schema);
  const shared = createSharedSubscriptions();
  const sequences = createSequences();

  function start({ kind, name }: Operation | Rejected, { context, transport }: Source): Observation | null {
    return observe(hooks, { kind, name, caller: context.caller, transport });
  }

  /** Executes a query or mutation, by its compiled form if there is one. */
  function resultOf(operation: Operation, source: Source): ExecutionResult | Promise<ExecutionResult> {
    const compiled = operation.kind === 'query' ? operation.known.compiled() : null;
    if (compiled === null) return executed(operation, source);
    const { context } = source;
    const checked = (result: ExecutionResult): ExecutionResult | Promise<ExecutionResult> => {
      if (result.errors === undefined) return result;
      // graphql-jit has its own messages, and queries change nothing: executed again, unless that means to wait again.
      return result.errors.every(isStoreAway)
        ? maskResult(result, mask, context.requestId)
        : executed(operation, source);
    };
    const result = compiled(context, operation.variables);
    return result instanceof Promise ? result.then(checked) : checked(result);
  }

  async function executed(
    { known, operationName, variables }: Operation,
    { context, signal }: Source,
  ): Promise<ExecutionResult> {
    try {
      const result = await execute({
        schema,
        document: known.document,
        operationName,
        variableValues: variables,
        contextValue: signal === undefined ? context : { ...context, signal: signal() },
      });
      return maskResult(result, mask, context.requestId);
    } catch (error) {
      return { errors: [mask(error, context.requestId)] };
    }
  }

  function resolve(params: Parameters): Resolved | Rejected {
    try {
      return { params: persisted.resolve(params) };
    } catch (error) {
      return { kind: null, name: params.operationName ?? null, errors: [mask(error)] };
    }
  }

  async function join(
    { known, definition, operationName, variables: given }: Operation,
    { context }: Source,
    member: Member,
  ): Promise<ExecutionResult | null> {
    const shareable = shareableOf(known.document, definition, given, context);
    if ('errors' in shareable)
      return { errors: shareable.errors.map(error => mask(error, context.requestId)) };
    const { key, isSequence, variables } = shareable;
    const live = { schema, known, operationName, variables, context };
    try {
      return await (isSequence ? sequences : shared).join(key, () => openLive(live, mask), member);
    } catch (error) {
      return { errors: [mask(error, context.requestId)] };
    }
  }

  return {
    resolve,

    prepare(params) {
      const found = resolve(params);
      if (isRejected(found)) return found;
      const resolved = found.params;
      const name = resolved.operationName ?? null;
      const read = documents.read(resolved.query ?? '');
      if (!read.ok) {
        const definition = read.document === null ? null : getOperationAST(read.document, name);
        return { kind: definition?.operation ?? null, name: nameOf(definition) ?? name, errors: read.errors };
      }
      const definition = getOperationAST(read.known.document, name);
      if (definition === null || definition === undefined) {
        return { kind: null, name, errors: [noSuchOperation()] };
      }
      return {
        kind: definition.operation,
        name: nameOf(definition),
        known: read.known,
        definition,
        operationName: name,
        variables: resolved.variables ?? NO_VARIABLES,
      };
    },

    async run(operation, source) {
      const observation = start(operation, source);
      const result = await resultOf(operation, source);
      return ended(observation, result.errors === undefined ? 'completed' : 'failed', result);
    },

    async live(operation, source, subscriberOf) {
      const observation = start(operation, source);
      if (!quota.enter(source.clientKey)) {
        const error = tooManySubscriptions(quota.perCaller, 'for one caller');
        return { result: ended(observation, 'rejected', { errors: [error] }) };
      }
      const counted = new CountedSubscriber(quota, source.clientKey, observation);
      const subscriber = counted.readBy(subscriberOf(counted));
      // Its client has completed it, or is gone.
      if (counted.left) return { subscriber };
      const result = await join(operation, source, counted);
      if (result === null) return { subscriber };
      ended(observation, 'failed', result);
      counted.leave();
      return { result };
    },

    reject(rejected, source) {
      return ended(start(rejected, source), 'rejected', { errors: rejected.errors });
    },
  };
}

/** Whether there is nothing to execute. */
export function isRejected(prepared: Resolved | Operation | Rejected): prepared is Rejected {
  return 'errors' in prepared;
}

function ended(observation: Observation | null, outcome: Outcome, result: ExecutionResult): ExecutionResult {
  observation?.result(result.errors, false);
  observation?.end(outcome);
  return result;
}

function nameOf(definition: OperationDefinitionNode | null | undefined): string | null {
  return definition?.name?.value ?? null;
}

function noSuchOperation(): GraphQLError {
  return new GraphQLError('Could not determine what operation to execute.', {
    extensions: { code: 'OPERATION_RESOLUTION_FAILURE', http: { status: 400 } },
  });
}
