import SchemaBuilder from '@pothos/core';
import { DateTimeResolver, JSONResolver } from 'graphql-scalars';
import type { GraphQLContext } from './context.ts';

/** One builder for the whole schema: `buildSchema` makes a new one, each file of `types/` adds to it. */
export type Builder = ReturnType<typeof createBuilder>;

/** The scalars' TypeScript sides, and the context. */
interface SchemaTypes {
  Context: GraphQLContext;
  DefaultFieldNullability: false;
  DefaultInputFieldRequiredness: false;
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: Date; Output: Date };
    JSON: { Input: unknown; Output: unknown };
    Seed: { Input: string; Output: string };
    URL: { Input: string; Output: string };
  };
}

/** A builder with the scalars and the three roots. */
export function createBuilder() {
  const builder = new SchemaBuilder<SchemaTypes>({ defaultFieldNullability: false });
  builder.queryType({});
  builder.mutationType({});
  builder.subscriptionType({});
  builder.addScalarType('DateTime', DateTimeResolver);
  builder.addScalarType('JSON', JSONResolver);
  return builder;
}
