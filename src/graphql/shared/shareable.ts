import { hash } from 'node:crypto';
import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLError,
  getOperationAST,
  getVariableValues,
  type OperationDefinitionNode,
} from 'graphql';
import type { GraphQLContext } from '../context.ts';

/** What a subscription's results depend on, beside who asks. */
type Asked = Pick<ExecutionArgs, 'schema' | 'document' | 'operationName' | 'variableValues'>;

/** A subscription that may be shared. */
export interface Shareable {
  /** Two with the same key have the same results. A hash, so that it is short however much was sent. */
  readonly key: string;
  /** Those that the operation declares: what else was sent has no meaning and is not kept. */
  readonly variableValues: Readonly<Record<string, unknown>>;
}

/** As graphql-js has it. */
const MAX_ERRORS = 50;

/**
 * Names what a subscription's results depend on: document, operation, variables, caller and the address of the gateway
 * (it is in the URLs of a result). Everything else is the same for all, so two with the same key may share them, and
 * nothing of one caller ever reaches another. Gives the errors of variables that the operation does not take.
 */
export function createShareables(): (
  asked: Asked,
  context: GraphQLContext,
) => Shareable | { readonly errors: readonly GraphQLError[] } {
  // Yoga parses a text once and then gives the same document: its identity stands for the text.
  const numbers = new WeakMap<DocumentNode, number>();
  let documents = 0;

  function numberOf(document: DocumentNode): number {
    const known = numbers.get(document);
    if (known !== undefined) return known;
    documents += 1;
    numbers.set(document, documents);
    return documents;
  }

  return ({ schema, document, operationName, variableValues }, { caller, baseUrl }) => {
    const declared = getOperationAST(document, operationName)?.variableDefinitions ?? [];
    const given = variableValues ?? {};
    // What passes is no deeper than its type: then a text can be made of it.
    const { errors } = getVariableValues(schema, declared, given, { maxErrors: MAX_ERRORS });
    if (errors !== undefined) return { errors };
    const values = pick(given, declared);
    const key = JSON.stringify([
      numberOf(document),
      operationName ?? null,
      values,
      caller.id,
      caller.operator,
      baseUrl,
    ]);
    return { key: hash('sha256', key, 'base64'), variableValues: values };
  };
}

function pick(
  values: Readonly<Record<string, unknown>>,
  declared: NonNullable<OperationDefinitionNode['variableDefinitions']>,
): Readonly<Record<string, unknown>> {
  const names = declared
    .map(({ variable }) => variable.name.value)
    .filter(name => Object.hasOwn(values, name));
  return Object.fromEntries(names.map(name => [name, values[name]]));
}
