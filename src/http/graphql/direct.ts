import { type DocumentNode, type ExecutionResult, GraphQLError, getOperationAST } from 'graphql';
import { processRegularResult } from 'graphql-yoga';
import type { Log } from '../../log.ts';
import { storeAwaySeconds } from '../../operations/store-unavailable.ts';
import type { PersistedDocuments } from '../limits/persisted.ts';
import type { AnswerType } from './answer-type.ts';
import type { ValidDocument } from './compile.ts';
import { createCompiledQueries } from './compiled-queries.ts';
import { type Parameters, readParameters } from './parameters.ts';
import { type GraphQLServer, maskError, type ServerContext } from './yoga.ts';

/**
 * Answers queries and mutations without Yoga's layers for HTTP, which take several times as long as most of them:
 * queries that come again and again are compiled, all else is executed with the plugins and the executor of Yoga.
 */
export interface DirectOperations {
  /**
   * The answer to a body of parameters as JSON, in the form that the caller takes. Null: Yoga has to answer, because
   * nothing could be executed: it tells what is wrong with the request or the document, and serves subscriptions.
   */
  answer(body: string, type: AnswerType, request: DirectRequest): Promise<DirectAnswer | null>;
}

export interface DirectRequest {
  readonly context: ServerContext;
  /** A signal that aborts when the caller goes. Asked for when it may be needed: each costs as much as a short query. */
  gone(): AbortSignal;
}

export interface DirectAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface DirectOptions {
  readonly yoga: GraphQLServer;
  readonly persisted: PersistedDocuments;
  readonly log: Log;
  readonly showDetails: boolean;
}

const HEADERS: Readonly<Record<AnswerType, Readonly<Record<string, string>>>> = {
  'application/json': { 'content-type': 'application/json; charset=utf-8' },
  'application/graphql-response+json': { 'content-type': 'application/graphql-response+json; charset=utf-8' },
};

/** What is asked for, with its document written out. */
type Resolved = Parameters & { readonly query: string };

/** Makes it with nothing compiled yet. Yoga's plugins parse and validate each document, so every limit holds here too. */
export function createDirectOperations(options: DirectOptions): DirectOperations {
  const { yoga, persisted, log, showDetails } = options;
  const queries = createCompiledQueries();

  /** The result of a compiled query; null when there is none, or another one to be got by executing it. */
  async function runCompiled(params: Resolved, { context }: DirectRequest): Promise<ExecutionResult | null> {
    const query = queries.find(params.query, () =>
      check(yoga.getEnveloped({ ...context, params }), params.query),
    );
    if (query === null || (params.operationName ?? query.name) !== query.name) return null;
    const { errors, ...result } = await query.run(context.graphql, params.variables ?? {});
    if (errors === undefined) return result;
    // graphql-jit words errors in its own way, and queries change nothing. But nobody waits for the store twice.
    if (!errors.every(isAway)) return null;
    return { errors: errors.map(error => maskError(error, log, showDetails)), ...result };
  }

  async function execute(
    params: Resolved,
    { context, gone }: DirectRequest,
  ): Promise<ExecutionResult | null> {
    const graphql = { ...context.graphql, signal: gone() };
    const enveloped = yoga.getEnveloped({ ...context, graphql, params });
    const valid = check(enveloped, params.query);
    if (valid === null) return null;
    const operation = getOperationAST(valid.document, params.operationName);
    if (operation === null || operation === undefined || operation.operation === 'subscription') return null;
    try {
      const result: ExecutionResult = await enveloped.execute({
        ...valid,
        contextValue: await enveloped.contextFactory(),
        variableValues: params.variables,
        operationName: params.operationName,
      });
      return result;
    } catch (error) {
      return { errors: [maskError(error, log, showDetails)] };
    }
  }

  async function write(result: ExecutionResult, type: AnswerType): Promise<DirectAnswer> {
    if (result.errors === undefined)
      return { status: 200, headers: HEADERS[type], body: JSON.stringify(result) };
    const answer = processRegularResult(result, yoga.fetchAPI, type);
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
  }

  return {
    async answer(body, type, request) {
      const params = resolve(persisted, readParameters(body));
      if (params === null) return null;
      const result = (await runCompiled(params, request)) ?? (await execute(params, request));
      return result === null ? null : write(result, type);
    },
  };
}

/** The parameters with their document written out; null when there is none, or a fault that Yoga tells. */
function resolve(persisted: PersistedDocuments, given: Parameters | null): Resolved | null {
  const params = given === null ? null : orFault(() => persisted.resolve(given));
  return params !== null && hasText(params) ? params : null;
}

function hasText(params: Parameters): params is Resolved {
  return typeof params.query === 'string';
}

/** The document when it is valid, whoever asks; the limits are the same for all. */
function check(
  { schema, parse, validate }: ReturnType<GraphQLServer['getEnveloped']>,
  text: string,
): ValidDocument | null {
  const document: DocumentNode | null = orFault(() => parse(text));
  return document !== null && validate(schema, document).length === 0 ? { schema, document } : null;
}

/** What `work` returns; null when it throws a fault of the caller's. */
function orFault<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof GraphQLError) return null;
    throw error;
  }
}

function isAway(error: GraphQLError): boolean {
  return storeAwaySeconds(error.originalError) !== null;
}
