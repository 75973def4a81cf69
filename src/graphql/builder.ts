import SchemaBuilder from '@pothos/core';
import DirectivesPlugin from '@pothos/plugin-directives';
import type { GraphQLContext } from './context.ts';
import type { FederationDirectives } from './federation/directives.ts';

/** One builder for the whole schema: `buildSchema` creates it, each file of `types/` adds to it. */
export type Builder = ReturnType<typeof createBuilder>;

/** The scalars' TypeScript sides, and the context. */
interface SchemaTypes {
  Context: GraphQLContext;
  Directives: FederationDirectives;
  DefaultFieldNullability: false;
  DefaultInputFieldRequiredness: false;
  Scalars: {
    ID: { Input: string; Output: string };
    /** Only results have it. */
    DateTime: { Input: never; Output: Date };
    JSON: { Input: unknown; Output: unknown };
    EditSeed: { Input: unknown; Output: string };
    URL: { Input: unknown; Output: string };
    /** An entity as a router represents it. */
    _Any: { Input: unknown; Output: unknown };
  };
}

/** A builder with the three roots. */
export function createBuilder() {
  const builder = new SchemaBuilder<SchemaTypes>({
    defaultFieldNullability: false,
    plugins: [DirectivesPlugin],
    // The form that @graphql-tools/utils prints.
    directives: { useGraphQLToolsUnorderedDirectives: true },
  });
  builder.queryType({});
  builder.mutationType({});
  builder.subscriptionType({});
  return builder;
}
