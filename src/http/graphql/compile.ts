import {
  BREAK,
  type DocumentNode,
  type ExecutionResult,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
  visit,
} from 'graphql';
import { compileQuery, isCompiledQuery } from 'graphql-jit';
import type { GraphQLContext } from '../../graphql/context.ts';
import { measureSelections } from '../../graphql/measure.ts';

/** A document that was found valid for the schema, and within every limit. */
export interface ValidDocument {
  readonly schema: GraphQLSchema;
  readonly document: DocumentNode;
}

/** A query as a function of its own. */
export interface CompiledQuery {
  /** The name of its operation; null: it has none. */
  readonly name: string | null;
  /**
   * Executes it; `root` is the root value, an event of the source for a subscription. Results without errors are those of
   * graphql-js; errors are told in other words, some more or fewer.
   */
  run(
    context: GraphQLContext,
    variables: Readonly<Record<string, unknown>>,
    root?: unknown,
  ): ExecutionResult | Promise<ExecutionResult>;
}

/** Fields with the fragments written out, as they are in the code: this many take about 10 ms to compile. */
const MAX_FIELDS = 200;

/**
 * Compiles a document of one operation of this kind. Null: it has to be executed the usual way, because it is of
 * another kind, is large, asks about the schema, has directives, of which graphql-jit knows two and we may have more, or
 * names that it mistakes.
 */
export function compileDocument(
  { schema, document }: ValidDocument,
  kind: 'query' | 'subscription' = 'query',
): CompiledQuery | null {
  const fragments = new Map<string, FragmentDefinitionNode>();
  const operations: OperationDefinitionNode[] = [];
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OPERATION_DEFINITION) operations.push(definition);
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  const [operation, another] = operations;
  if (operation?.operation !== kind || another !== undefined || !isPlain(document)) return null;
  const root = (kind === 'query' ? schema.getQueryType() : schema.getSubscriptionType()) ?? undefined;
  const { fields } = measureSelections(schema, fragments, operation.selectionSet, root);
  if (fields > MAX_FIELDS) return null;
  const name = operation.name?.value ?? null;
  const compiled = compileQuery(schema, document, name ?? undefined, {
    // Nobody reads where an error was made: see `run`.
    disablingCapturingStackErrors: true,
  });
  // It is not where Node is told to make no code from texts.
  if (!isCompiledQuery(compiled)) return null;
  return { name, run: (context, variables, root) => compiled.query(root, context, variables) };
}

/**
 * Whether a document has no directives, asks nothing about the schema, and names nothing as what every object has: the
 * code keeps variables and results in objects by their names, `__proto__` too.
 */
function isPlain(document: DocumentNode): boolean {
  let plain = true;
  const refuse = (): typeof BREAK => {
    plain = false;
    return BREAK;
  };
  visit(document, {
    Directive: refuse,
    Name: ({ value }) => (value in Object.prototype ? refuse() : undefined),
    Field: ({ name }) => (name.value.startsWith('__') && name.value !== '__typename' ? refuse() : undefined),
  });
  return plain;
}
