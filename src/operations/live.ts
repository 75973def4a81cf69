import {
  createSourceEventStream,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  type GraphQLSchema,
} from 'graphql';
import type { GraphQLContext } from '../graphql/context.ts';
import type { ValidDocument } from './documents.ts';
import { type Mask, maskResult } from './errors.ts';
import type { Subscribed } from './sharing.ts';

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
  if (!(Symbol.asyncIterator in source)) return maskResult(source, mask);
  return resultsOf(operation, mask, source[Symbol.asyncIterator]());
}

// Not a part of `openLive`: what its closures capture is held for each subscription while nothing happens. For the same
// reason `next` waits with a callback, which takes less than a suspended function.
function resultsOf(
  operation: LiveOperation,
  mask: Mask,
  events: AsyncIterator<unknown>,
): AsyncIterableIterator<ExecutionResult, undefined> {
  async function resultOf(step: IteratorResult<unknown>): Promise<Step> {
    if (step.done === true) return { done: true, value: undefined };
    const result = await operation.known.compiled()?.(operation.context, operation.variables, step.value);
    // Errors are reported with graphql-js' messages.
    if (result !== undefined && result.errors === undefined) return { done: false, value: result };
    const executed = await execute({ ...argsOf(operation), rootValue: step.value });
    return { done: false, value: maskResult(executed, mask) };
  }

  const results: AsyncIterableIterator<ExecutionResult, undefined> = {
    [Symbol.asyncIterator]: () => results,
    next: () => events.next().then(resultOf),
    async return() {
      await events.return?.();
      return { done: true, value: undefined };
    },
  };
  return results;
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
