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
export async function openLive(
  schema: GraphQLSchema,
  mask: Mask,
  { known, operationName, variables, context }: LiveOperation,
): Promise<Subscribed> {
  const args: ExecutionArgs = {
    schema,
    document: known.document,
    operationName,
    variableValues: variables,
    contextValue: context,
  };
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) return maskResult(source, mask);
  const events = source[Symbol.asyncIterator]();

  async function resultOf(event: unknown): Promise<ExecutionResult> {
    const result = await known.compiled()?.(context, variables, event);
    // Errors are reported with graphql-js' messages.
    if (result !== undefined && result.errors === undefined) return result;
    return maskResult(await execute({ ...args, rootValue: event }), mask);
  }

  async function resultOfStep(step: IteratorResult<unknown>): Promise<Step> {
    if (step.done === true) return { done: true, value: undefined };
    return { done: false, value: await resultOf(step.value) };
  }

  const results: AsyncIterableIterator<ExecutionResult, undefined> = {
    [Symbol.asyncIterator]: () => results,
    // Held for each subscription while nothing happens: callbacks take less than a suspended function.
    next: () => events.next().then(resultOfStep),
    async return() {
      await events.return?.();
      return { done: true, value: undefined };
    },
  };
  return results;
}
