import { DirectiveLocation, GraphQLDirective, GraphQLInt, GraphQLList } from 'graphql';

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

/** Where a field has the directives for clients. Those for routers are in `directives`, so each SDL is printed with its own. */
export const CLIENT_DIRECTIVES = 'clientDirectives';

/**
 * The options of a field that may fail alone: it reads or changes a store, or it is a root field, whose gateway may be the
 * one subgraph of a supergraph that is away. With a non-null type, its error would take the results of all other fields away.
 */
export const FAILS_ALONE = {
  nullable: true,
  extensions: { [CLIENT_DIRECTIVES]: { [SEMANTIC_NON_NULL.name]: {} } },
} as const;
