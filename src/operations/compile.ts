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
import type { GraphQLContext } from '../graphql/context.ts';
import { measureSelections } from '../graphql/measure.ts';

/**
 * Executes a document of one operation; `root` is the root value, for a subscription an event of its source. Results without
 * errors are those of graphql-js; with errors, the messages differ and so may their number.
 */
export type CompiledDocument = (
  context: GraphQLContext,
  variables: Readonly<Record<string, unknown>>,
  root?: unknown,
) => ExecutionResult | Promise<ExecutionResult>;

/** Fields with all fragments inlined, as in the generated code: this many take about 10 ms to compile. */
const MAX_FIELDS = 200;

/**
 * Compiles a valid document with graphql-jit. Null when it must be executed instead: it has several operations, is too
 * large, uses introspection, has directives (graphql-jit knows two of them), or has names that graphql-jit confuses.
 */
export function compileDocument(schema: GraphQLSchema, document: DocumentNode): CompiledDocument | null {
  const fragments = new Map<string, FragmentDefinitionNode>();
  const operations: OperationDefinitionNode[] = [];
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OPERATION_DEFINITION) operations.push(definition);
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  const [operation, another] = operations;
  if (operation === undefined || another !== undefined || !isPlain(document)) return null;
  const root = schema.getRootType(operation.operation) ?? undefined;
  const { fields } = measureSelections(schema, fragments, operation.selectionSet, root);
  if (fields > MAX_FIELDS) return null;
  const compiled = compileQuery(schema, document, operation.name?.value, {
    // Their stacks are never read: a result with errors is executed again by graphql-js.
    disablingCapturingStackErrors: true,
  });
  // Compiling fails where Node forbids code generation from strings.
  if (!isCompiledQuery(compiled)) return null;
  return (context, variables, root) => compiled.query(root, context, variables);
}

/**
 * Whether a document has no directives, no introspection, and no name of a property that every object has: the generated
 * code keeps variables and results as properties of objects, `__proto__` too.
 */
function isPlain(document: DocumentNode): boolean {
  let plain = true;
  const reject = (): typeof BREAK => {
    plain = false;
    return BREAK;
  };
  visit(document, {
    Directive: reject,
    Name: ({ value }) => (value in Object.prototype ? reject() : undefined),
    Field: ({ name }) => (name.value.startsWith('__') && name.value !== '__typename' ? reject() : undefined),
  });
  return plain;
}
