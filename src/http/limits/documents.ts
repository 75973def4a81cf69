import {
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  NoSchemaIntrospectionCustomRule,
  type OperationDefinitionNode,
  parse,
  type ValidationRule,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { type Measure, measureSelections } from '../../graphql/measure.ts';

/** How much one GraphQL document may ask for. */
export interface DocumentLimits extends Measure {
  /** Lexical tokens of the text; what has more is not parsed to its end. */
  readonly tokens: number;
  /** Whether the schema may be asked for. */
  readonly introspection: boolean;
}

/**
 * Holds every document against the limits as it is parsed and validated, and so on each way by which it can come.
 * A document over a limit is answered with the code DOCUMENT_LIMIT, which limit it was and what it came to.
 */
export function useDocumentLimits(limits: DocumentLimits): Plugin {
  const rule = documentLimitsRule(limits);
  return {
    onParse({ setParseFn }) {
      setParseFn((source, options) => parse(source, { ...options, maxTokens: limits.tokens }));
    },
    onValidate({ addValidationRule }) {
      addValidationRule(rule);
      if (!limits.introspection) addValidationRule(NoSchemaIntrospectionCustomRule);
    },
  };
}

/** One rule for all that is counted: each operation with its fragments. */
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
              `The document has ${WORDS[name]} ${measured[name]}, at most ${limits[name]} is taken`,
              {
                nodes: operation,
                extensions: { code: 'DOCUMENT_LIMIT', limit: name },
              },
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
