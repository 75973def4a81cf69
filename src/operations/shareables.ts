import { hash } from 'node:crypto';
import {
  type DocumentNode,
  type FieldNode,
  type GraphQLError,
  type GraphQLSchema,
  getVariableValues,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  visit,
} from 'graphql';
import type { GraphQLContext } from '../graphql/context.ts';
import { isSequence } from '../graphql/sequence.ts';

/** A subscription that can be shared. */
export interface Shareable {
  /**
   * Subscriptions with the same key have the same results; of a sequence, the same result for the same event. A hash: it is
   * short, however much was sent.
   */
  readonly key: string;
  /** Whether its events build on each other; see `graphql/sequence.ts`. */
  readonly isSequence: boolean;
  /** The variables that the operation declares; others mean nothing and are not kept. */
  readonly variables: Readonly<Record<string, unknown>>;
}

/** Same as graphql-js' default. */
const MAX_ERRORS = 50;

/**
 * Names what the results of a subscription depend on: document, operation, variables, caller, and our own address, which
 * is in their URLs. Nothing else may differ, so no result of one caller ever reaches another. Returns errors for variables
 * that the operation does not accept.
 */
export function createShareables(
  schema: GraphQLSchema,
): (
  document: DocumentNode,
  operation: OperationDefinitionNode,
  given: Readonly<Record<string, unknown>>,
  context: GraphQLContext,
) => Shareable | { readonly errors: readonly GraphQLError[] } {
  // The same text is the same remembered document: its identity stands for the text.
  const numbers = new WeakMap<DocumentNode, number>();
  const sequences = new WeakMap<OperationDefinitionNode, ReadonlySet<string> | null>();
  let documents = 0;

  function numberOf(document: DocumentNode): number {
    const known = numbers.get(document);
    if (known !== undefined) return known;
    documents += 1;
    numbers.set(document, documents);
    return documents;
  }

  /** The variables that the result of one event of a sequence depends on; null: it is none. */
  function variablesOfSequence(
    document: DocumentNode,
    operation: OperationDefinitionNode,
  ): ReadonlySet<string> | null {
    const known = sequences.get(operation);
    if (known !== undefined) return known;
    const root = rootFieldOf(document, operation.selectionSet);
    const field = schema.getSubscriptionType()?.getFields()[root?.name.value ?? ''];
    const found = root !== null && isSequence(field) ? variablesBelow(document, operation, root) : null;
    sequences.set(operation, found);
    return found;
  }

  return (document, operation, given, { caller, baseUrl }) => {
    const declared = operation.variableDefinitions ?? [];
    // Values that pass are no deeper than their type, so they can be serialised.
    const { errors } = getVariableValues(schema, declared, given, { maxErrors: MAX_ERRORS });
    if (errors !== undefined) return { errors };
    const names = declared.map(({ variable }) => variable.name.value);
    const variables = Object.fromEntries(
      names.filter(name => Object.hasOwn(given, name)).map(name => [name, given[name]]),
    );
    const below = variablesOfSequence(document, operation);
    const decisive = Object.entries(variables).filter(([name]) => below === null || below.has(name));
    const key = JSON.stringify([
      numberOf(document),
      operation.name?.value ?? null,
      decisive,
      caller.id,
      caller.operator,
      baseUrl,
    ]);
    return { key: hash('sha256', key, 'base64'), isSequence: below !== null, variables };
  };
}

/** A valid subscription has exactly one root field. */
function rootFieldOf(document: DocumentNode, { selections }: SelectionSetNode): FieldNode | null {
  for (const selection of selections) {
    switch (selection.kind) {
      case Kind.FIELD:
        return selection;
      case Kind.INLINE_FRAGMENT:
        return rootFieldOf(document, selection.selectionSet);
      case Kind.FRAGMENT_SPREAD: {
        const named = document.definitions.find(
          definition =>
            definition.kind === Kind.FRAGMENT_DEFINITION && definition.name.value === selection.name.value,
        );
        if (named?.kind !== Kind.FRAGMENT_DEFINITION) return null;
        return rootFieldOf(document, named.selectionSet);
      }
      default:
        return selection satisfies never;
    }
  }
  return null;
}

/** The variables that are used anywhere but in the arguments of the root field. */
function variablesBelow(
  { definitions }: DocumentNode,
  operation: OperationDefinitionNode,
  root: FieldNode,
): ReadonlySet<string> {
  const names = new Set<string>();
  for (const definition of definitions) {
    if (definition !== operation && definition.kind !== Kind.FRAGMENT_DEFINITION) continue;
    visit(definition, {
      VariableDefinition: () => false,
      Argument: argument => (root.arguments?.includes(argument) === true ? false : undefined),
      Variable: ({ name }) => void names.add(name.value),
    });
  }
  return names;
}
