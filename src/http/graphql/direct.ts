import { type DocumentNode, type ExecutionResult, GraphQLError } from 'graphql';
import { processRegularResult } from 'graphql-yoga';
import type { Log } from '../../log.ts';
import type { PersistedDocuments } from '../limits/persisted.ts';
import { storeAwaySeconds } from '../store-away.ts';
import type { AnswerType } from './answer-type.ts';
import type { ValidDocument } from './compile.ts';
import { createCompiledQueries } from './compiled-queries.ts';
import { type Parameters, readParameters } from './parameters.ts';
import { type GraphQLServer, maskError, type ServerContext } from './yoga.ts';

/** Answers queries that come again and again without Yoga, in a fraction of its time. */
export interface DirectQueries {
  /**
   * The answer to a body of parameters as JSON, in the form that the caller takes. Null: Yoga has to answer, as it
   * does whenever there is a fault to tell. It finds all as it was, for queries change nothing.
   */
  answer(body: string, type: AnswerType, context: ServerContext): Promise<DirectAnswer | null>;
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

/** Makes it with nothing compiled yet. Yoga's plugins parse and validate each document, so every limit holds here too. */
export function createDirectQueries(options: DirectOptions): DirectQueries {
  const { yoga, persisted, log, showDetails } = options;
  const queries = createCompiledQueries();

  /** What Yoga would answer if it waited for the store once more. */
  async function tellAway({ errors = [], data }: ExecutionResult, type: AnswerType): Promise<DirectAnswer> {
    const masked = errors.map(error => maskError(error, log, showDetails));
    const answer = processRegularResult({ errors: masked, data }, yoga.fetchAPI, type);
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
  }

  return {
    async answer(body, type, context) {
      const params = resolve(persisted, readParameters(body));
      const text = params?.query;
      if (params === null || typeof text !== 'string') return null;
      const query = queries.find(text, () => check(yoga, text, params, context));
      if (query === null || (params.operationName ?? query.name) !== query.name) return null;
      const result = await query.run(context.graphql, params.variables ?? {});
      if (result.errors === undefined) {
        return { status: 200, headers: HEADERS[type], body: JSON.stringify(result) };
      }
      return result.errors.every(isAway) ? tellAway(result, type) : null;
    },
  };
}

/** The parameters with their document written out; null when there is none, or a fault that Yoga tells. */
function resolve(persisted: PersistedDocuments, params: Parameters | null): Parameters | null {
  return params === null ? null : orFault(() => persisted.resolve(params));
}

/** The document when it is valid, whoever asks; the limits are the same for all. */
function check(
  yoga: GraphQLServer,
  text: string,
  params: Parameters,
  context: ServerContext,
): ValidDocument | null {
  const { schema, parse, validate } = yoga.getEnveloped({ ...context, params });
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
