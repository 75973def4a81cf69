import {
  createSourceEventStream,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  type GraphQLError,
} from 'graphql';
import type { GraphQLContext } from '../../graphql/context.ts';
import type { Subscribed } from '../../graphql/shared/groups.ts';
import { type CompiledQuery, compileDocument } from './compile.ts';

/** Runs subscriptions: an event of the source, a result. */
export interface LiveResults {
  /**
   * Opens the source and gives its results, or the one that says why there is none. What was valid and within every limit
   * when it came is not looked at again. Ends when the source does; `return` ends the source.
   */
  open(operation: LiveOperation): Promise<Subscribed>;
}

/** A subscription that was let in. */
export interface LiveOperation extends Pick<ExecutionArgs, 'schema' | 'document' | 'operationName'> {
  readonly variableValues?: ExecutionArgs['variableValues'];
  readonly contextValue: GraphQLContext;
}

/** To compile takes as long as to execute some dozen times. */
const COMPILED_AT = 30;

/** How often a document was executed until now, or what it was compiled to; null: it cannot be. */
type Known = number | CompiledQuery | null;

type Step = IteratorResult<ExecutionResult, undefined>;

/** `mask` makes of each error what callers may see. */
export function createLiveResults(mask: (error: GraphQLError) => GraphQLError): LiveResults {
  // Yoga parses a text once and then gives the same document: what is known of it goes when Yoga forgets it.
  const known = new WeakMap<DocumentNode, Known>();

  function compiledOf({ schema, document }: LiveOperation): CompiledQuery | null {
    const before = known.get(document) ?? 0;
    if (typeof before !== 'number') return before;
    const now = before + 1 < COMPILED_AT ? before + 1 : compileDocument({ schema, document }, 'subscription');
    known.set(document, now);
    return typeof now === 'number' ? null : now;
  }

  function masked({ errors, ...rest }: ExecutionResult): ExecutionResult {
    return errors === undefined ? rest : { errors: errors.map(mask), ...rest };
  }

  async function resultOf(args: LiveOperation, event: unknown): Promise<ExecutionResult> {
    const result = await compiledOf(args)?.run(args.contextValue, args.variableValues ?? {}, event);
    // Errors are told in graphql-js' words.
    if (result !== undefined && result.errors === undefined) return result;
    return masked(await execute({ ...args, rootValue: event }));
  }

  return {
    async open(args) {
      const source = await createSourceEventStream(args);
      if (!(Symbol.asyncIterator in source)) return masked(source);
      const events = source[Symbol.asyncIterator]();
      const resultOfStep = async (step: IteratorResult<unknown>): Promise<Step> =>
        step.done === true
          ? { done: true, value: undefined }
          : { done: false, value: await resultOf(args, step.value) };
      const results: AsyncIterableIterator<ExecutionResult, undefined> = {
        [Symbol.asyncIterator]: () => results,
        // Held for each while nothing comes: callbacks are less than a suspended function.
        next: () => events.next().then(resultOfStep),
        async return() {
          await events.return?.();
          return { done: true, value: undefined };
        },
      };
      return results;
    },
  };
}
