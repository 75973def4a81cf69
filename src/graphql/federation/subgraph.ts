import { printSchemaWithDirectives } from '@graphql-tools/utils';
import { type GraphQLSchema, lexicographicSortSchema } from 'graphql';

/** Routers that do not know `@oneOf` refuse its use without this. */
const ONE_OF = 'directive @oneOf on INPUT_OBJECT';

/** The SDL that a supergraph is composed from: the schema, its directives, the `@link`; the same for the same schema. */
export function printSubgraph(schema: GraphQLSchema): string {
  const sdl = printSchemaWithDirectives(lexicographicSortSchema(schema));
  return `${sdl.includes(ONE_OF) ? '' : `${ONE_OF}\n\n`}${sdl}\n`;
}
