import {
  createSourceEventStream,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  type GraphQLError,
  type GraphQLSchema,
} from 'graphql';
import type { GraphQLContext } from '../graphql/context.ts';
import type { ValidDocument } from './documents.ts';
import { formatResult, type Mask, maskResult } from './errors.ts';

/** A result on its way to all subscribers of a subscription. The newest is held for each, so it is kept encoded alone. */
export interface SharedResult {
  /**
   * What follows the operation's id in a socket's `next` message, the same for all subscribers, as UTF-8. Up to
   * `LONGEST_STRING` bytes a string of bytes: each character is one byte (`latin1`). A longer one is a buffer, which the
   * connections share that send it. `payloadOf` returns the result without the rest.
   */
  readonly message: string | Buffer;
  readonly errors: readonly GraphQLError[] | undefined;
}

/** Node writes a string of up to 16 KiB from the stack (`StreamBase::WriteString`); the start of a frame is before it. */
const LONGEST_STRING = 15 * 1024;
const BEFORE = ',"type":"next","payload":';
const AFTER = '}';

/** Encodes a result. */
export function sharedResult(result: ExecutionResult): SharedResult {
  const bytes = bytesOf(`${BEFORE}${JSON.stringify(formatResult(result))}${AFTER}`);
  return {
    message: bytes.length > LONGEST_STRING ? Buffer.from(bytes, 'latin1') : bytes,
    errors: result.errors,
  };
}

/** The JSON of a result as UTF-8, and one brace more, which closes a message around it. */
export function payloadOf({ message }: SharedResult): Buffer {
  const bytes = typeof message === 'string' ? Buffer.from(message, 'latin1') : message;
  return bytes.subarray(BEFORE.length);
}

/** The UTF-8 of a text as a string in which each character is one byte. */
export function bytesOf(text: string): string {
  return Buffer.byteLength(text) === text.length ? text : Buffer.from(text).toString('latin1');
}

/** A subscription that was prepared. Held for as long as it runs. */
export interface LiveOperation {
  readonly schema: GraphQLSchema;
  readonly known: ValidDocument;
  readonly operationName: string | null;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly context: GraphQLContext;
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
  /** Executes the subscription for an event, and encodes the result. A promise only where a resolver returns one. */
  resultOf(event: unknown): SharedResult | Promise<SharedResult>;
  /** Turns what the events, or the result of one, failed with into the last result, with the error masked. */
  failure(error: unknown): SharedResult;
}

/** Opens the source of a subscription. The document is not checked again. */
export async function openLive(operation: LiveOperation, mask: Mask): Promise<EventSource | NoSource> {
  const source = await createSourceEventStream(argsOf(operation));
  if (Symbol.asyncIterator in source) return new LiveSource(operation, mask, source[Symbol.asyncIterator]());
  return { kind: 'none', result: maskResult(source, mask, operation.context.requestId) };
}

/** Gets the result of one event, or the error because of which there is none. Its methods must not throw. */
export interface ResultTaker {
  take(result: SharedResult): void;
  fail(error: unknown): void;
}

/** Passes the result of an event to `taker`, at once if no resolver has to be waited for. */
export function whenResult(source: EventSource, event: unknown, taker: ResultTaker): void {
  let result: SharedResult | Promise<SharedResult>;
  try {
    result = source.resultOf(event);
  } catch (error) {
    // graphql-js turns errors of fields into results; one that cannot be encoded throws.
    taker.fail(error);
    return;
  }
  if (result instanceof Promise) {
    result.then(
      shared => taker.take(shared),
      (error: unknown) => taker.fail(error),
    );
  } else taker.take(result);
}

/** A class, because what closures capture is held for each subscription while nothing happens. */
class LiveSource implements EventSource {
  readonly kind = 'events';
  readonly #operation: LiveOperation;
  readonly #mask: Mask;
  readonly events: AsyncIterator<unknown>;

  constructor(operation: LiveOperation, mask: Mask, events: AsyncIterator<unknown>) {
    this.#operation = operation;
    this.#mask = mask;
    this.events = events;
  }

  resultOf(event: unknown): SharedResult | Promise<SharedResult> {
    const { known, context, variables } = this.#operation;
    const compiled = known.compiled();
    if (compiled === null) return this.#execute(event);
    const result = compiled(context, variables, event);
    return result instanceof Promise
      ? result.then(settled => this.#checked(settled, event))
      : this.#checked(result, event);
  }

  failure(error: unknown): SharedResult {
    return sharedResult({ errors: [this.#mask(error, this.#operation.context.requestId)] });
  }

  /** Errors are reported with graphql-js' messages. */
  #checked(result: ExecutionResult, event: unknown): SharedResult | Promise<SharedResult> {
    return result.errors === undefined ? sharedResult(result) : this.#execute(event);
  }

  async #execute(event: unknown): Promise<SharedResult> {
    const result = await execute({ ...argsOf(this.#operation), rootValue: event });
    return sharedResult(maskResult(result, this.#mask, this.#operation.context.requestId));
  }
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
