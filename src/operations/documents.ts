import {
  BREAK,
  type DocumentNode,
  type ExecutionResult,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  NoSchemaIntrospectionCustomRule,
  type OperationDefinitionNode,
  parse,
  specifiedRules,
  type ValidationRule,
  validate,
  visit,
} from 'graphql';
import { compileQuery, isCompiledQuery } from 'graphql-jit';
import { LRUCache } from 'lru-cache';
import type { GraphQLContext } from '../graphql/context.ts';
import { type Measure, measureSelections } from '../graphql/measure.ts';

/** Limits of one GraphQL document. */
export interface DocumentLimits extends Measure {
  /** Lexical tokens; parsing stops at the first one above. */
  readonly tokens: number;
  /** Whether introspection is allowed. */
  readonly introspection: boolean;
}

/**
 * Executes a document of one operation; `root` is the root value, for a subscription an event of its source. Results without
 * errors are those of graphql-js; with errors, the messages differ and so may their number.
 */
export type CompiledDocument = (
  context: GraphQLContext,
  variables: Readonly<Record<string, unknown>>,
  root?: unknown,
) => ExecutionResult | Promise<ExecutionResult>;

/** A document that is valid and within every limit. */
export interface ValidDocument {
  readonly document: DocumentNode;
  /** The compiled form, once the document was executed often enough to be worth it; null: execute it. Counts as a use. */
  compiled(): CompiledDocument | null;
}

export type DocumentResult =
  | { readonly ok: true; readonly known: ValidDocument }
  /** `document` is null for a text that is not GraphQL. */
  | { readonly ok: false; readonly document: DocumentNode | null; readonly errors: readonly GraphQLError[] };

/** Parses and validates documents, and remembers the results. */
export interface Documents {
  /** Never throws. Errors carry the HTTP status that GraphQL over HTTP gives them. */
  read(text: string): DocumentResult;
}

/** An application has some dozens of documents; a parsed one of 2,000 tokens takes a megabyte. */
const REMEMBERED_TEXTS = 256;
const REMEMBERED_CHARACTERS = 4 * 1024 * 1024;
/** Characters. A longer text has an image in it, or wants to use up memory, and is parsed each time. */
const LONGEST_REMEMBERED = 64 * 1024;
/** Characters. 200 fields, the most that is compiled, are half of it with names as long as ours. */
const LONGEST_COMPILED = 8 * 1024;
/** Compiling takes as long as some dozen executions. A subscription is executed once for each event. */
const COMPILED_AT_USE = { query: 3, subscription: 30 } as const;

/** Starts with an empty memory; the least recently used texts make room for others. */
export function createDocuments(schema: GraphQLSchema, limits: DocumentLimits): Documents {
  const rules = [...specifiedRules, documentLimitsRule(limits)];
  if (!limits.introspection) rules.push(NoSchemaIntrospectionCustomRule);
  const remembered = new LRUCache<string, DocumentResult>({
    max: REMEMBERED_TEXTS,
    maxSize: REMEMBERED_CHARACTERS,
    maxEntrySize: LONGEST_REMEMBERED,
    sizeCalculation: (_result, text) => Math.max(1, text.length),
  });

  function check(text: string): DocumentResult {
    let document: DocumentNode;
    try {
      document = parse(text, { maxTokens: limits.tokens });
    } catch (error) {
      if (!(error instanceof GraphQLError)) throw error;
      return { ok: false, document: null, errors: [asRequestError(error, 'GRAPHQL_PARSE_FAILED')] };
    }
    const errors = validate(schema, document, rules);
    if (errors.length > 0) {
      const marked = errors.map(error => asRequestError(error, 'GRAPHQL_VALIDATION_FAILED'));
      return { ok: false, document, errors: marked };
    }
    return { ok: true, known: validDocument(schema, document, text.length) };
  }

  return {
    read(text) {
      const before = remembered.get(text);
      if (before !== undefined) return before;
      const result = check(text);
      remembered.set(text, result);
      return result;
    },
  };
}

function validDocument(schema: GraphQLSchema, document: DocumentNode, characters: number): ValidDocument {
  const kind = kindToCompile(document);
  let state: CompiledDocument | number | null = kind === null || characters > LONGEST_COMPILED ? null : 0;
  return {
    document,
    compiled() {
      if (typeof state !== 'number' || kind === null) return typeof state === 'number' ? null : state;
      state += 1;
      if (state < COMPILED_AT_USE[kind]) return null;
      state = compileDocument(schema, document);
      return state;
    },
  };
}

/** The kind of the document's only operation; null when there are several, or it is a mutation. */
function kindToCompile({ definitions }: DocumentNode): keyof typeof COMPILED_AT_USE | null {
  const operations = definitions.filter(definition => definition.kind === Kind.OPERATION_DEFINITION);
  const [operation, another] = operations;
  if (operation === undefined || another !== undefined || operation.operation === 'mutation') return null;
  return operation.operation;
}

/**
 * Adds the code, and the status for clients that accept `application/graphql-response+json`
 * (https://graphql.github.io/graphql-over-http/draft/#sec-Status-Codes). `spec` tells Yoga to keep 200 for the others.
 */
function asRequestError(error: GraphQLError, code: string): GraphQLError {
  error.extensions.code ??= code;
  error.extensions.http ??= { spec: true, status: 400 };
  return error;
}

/** One rule for all limits: each operation with its fragments. */
function documentLimitsRule(limits: Measure): ValidationRule {
  return function DocumentLimitsRule(context) {
    const schema = context.getSchema();
    const fragments = new Map<string, FragmentDefinitionNode>();
    for (const definition of context.getDocument().definitions) {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
    }
    return {
      OperationDefinition(operation) {
        const root = schema.getRootType(operation.operation) ?? undefined;
        const found = measureSelections(schema, fragments, operation.selectionSet, root);
        const measured = { ...found, directives: found.directives + ownDirectives(operation) };
        for (const name of ['depth', 'aliases', 'directives', 'cost'] as const) {
          if (measured[name] <= limits[name]) continue;
          context.reportError(
            new GraphQLError(
              `The document has ${WORDS[name]} ${measured[name]}; the limit is ${limits[name]}`,
              { nodes: operation, extensions: { code: 'DOCUMENT_LIMIT', limit: name } },
            ),
          );
        }
      },
    };
  };
}

const WORDS = {
  depth: 'a depth of',
  aliases: 'a number of aliases of',
  directives: 'a number of directives of',
  cost: 'a cost of',
} as const satisfies Record<keyof Measure, string>;

function ownDirectives({ directives, variableDefinitions }: OperationDefinitionNode): number {
  const ofVariables = (variableDefinitions ?? []).map(variable => variable.directives?.length ?? 0);
  return ofVariables.reduce((sum, count) => sum + count, directives?.length ?? 0);
}

/** Fields with all fragments inlined, as in the generated code: this many take about 10 ms to compile. */
const MAX_FIELDS = 200;

/**
 * Compiles a valid document with graphql-jit. Null when it must be executed instead: it has several operations, is too
 * large, uses introspection, has directives (graphql-jit knows two of them), or has names that graphql-jit confuses.
 */
function compileDocument(schema: GraphQLSchema, document: DocumentNode): CompiledDocument | null {
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
