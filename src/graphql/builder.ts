import SchemaBuilder from '@pothos/core';
import DirectivesPlugin from '@pothos/plugin-directives';
import { DateTimeResolver, JSONResolver } from 'graphql-scalars';
import type { GraphQLContext } from './context.ts';
import type { FederationDirectives } from './federation/directives.ts';

/** One builder for the whole schema: `buildSchema` makes a new one, each file of `types/` adds to it. */
export type Builder = ReturnType<typeof createBuilder>;

/** The scalars' TypeScript sides, and the context. */
interface SchemaTypes {
  Context: GraphQLContext;
  Directives: FederationDirectives;
  DefaultFieldNullability: false;
  DefaultInputFieldRequiredness: false;
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: Date; Output: Date };
    JSON: { Input: unknown; Output: unknown };
    Seed: { Input: string; Output: string };
    URL: { Input: string; Output: string };
    /** An entity as a router refers to it. */
    _Any: { Input: unknown; Output: unknown };
  };
}

/** A builder with the scalars and the three roots. */
export function createBuilder() {
  const builder = new SchemaBuilder<SchemaTypes>({
    defaultFieldNullability: false,
    plugins: [DirectivesPlugin],
    // The form that the printer of @graphql-tools/utils reads.
    directives: { useGraphQLToolsUnorderedDirectives: true },
  });
  builder.queryType({});
  builder.mutationType({});
  builder.subscriptionType({});
  builder.addScalarType('DateTime', DateTimeResolver);
  builder.addScalarType('JSON', JSONResolver);
  return builder;
}
