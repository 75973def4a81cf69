import { getDocumentNodeFromSchema } from '@graphql-tools/utils';
import {
  DirectiveLocation,
  GraphQLDirective,
  GraphQLInt,
  GraphQLList,
  type GraphQLSchema,
  lexicographicSortSchema,
  print,
  visit,
} from 'graphql';
import { FEDERATION_LINK } from './federation/directives.ts';

/**
 * Says that only an error makes a field null (https://specs.apollo.dev/nullability/v0.4/#@semanticNonNull). Relay, Apollo
 * Kotlin and graphql-codegen give such a field a type without null where they handle errors themselves.
 */
export const SEMANTIC_NON_NULL = new GraphQLDirective({
  name: 'semanticNonNull',
  description: 'Null only with an error. `levels`: of a list, 0 is the list itself and 1 its members.',
  locations: [DirectiveLocation.FIELD_DEFINITION],
  args: { levels: { type: new GraphQLList(GraphQLInt), defaultValue: [0] } },
});

const FOR_ROUTERS = new Set(['link', ...FEDERATION_LINK.import.map(name => name.slice(1))]);

/** Where a field has the directives for clients. Those for routers are in `directives`, so each SDL is printed with its own. */
const CLIENT_DIRECTIVES = 'clientDirectives';

/**
 * The options of a field that may fail alone: it reads or changes a store, or it is a root field, whose gateway may be the
 * one subgraph of a supergraph that is away. With a non-null type, its error would take the results of all other fields away.
 */
export const FAILS_ALONE = {
  nullable: true,
  extensions: { [CLIENT_DIRECTIVES]: { [SEMANTIC_NON_NULL.name]: {} } },
} as const;

/** Prints the SDL that clients write against, always in the same order. */
export function printApi(schema: GraphQLSchema): string {
  const sorted = lexicographicSortSchema(schema);
  const document = getDocumentNodeFromSchema(sorted, { pathToDirectivesInExtensions: [CLIENT_DIRECTIVES] });
  return `${print(
    visit(document, {
      Directive: ({ name }) => (FOR_ROUTERS.has(name.value) ? null : undefined),
      SchemaDefinition: () => null,
    }),
  )}\n`;
}
