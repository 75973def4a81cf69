import { printSchemaWithDirectives } from '@graphql-tools/utils';
import { type GraphQLSchema, lexicographicSortSchema } from 'graphql';

/** Routers that do not know `@oneOf` reject its use without a definition. */
const ONE_OF = 'directive @oneOf on INPUT_OBJECT';

/** Prints the SDL to compose a supergraph from: the schema with directives and `@link`, always in the same order. */
export function printSubgraph(schema: GraphQLSchema): string {
  const sdl = printSchemaWithDirectives(lexicographicSortSchema(schema));
  return `${sdl.includes(ONE_OF) ? '' : `${ONE_OF}\n\n`}${sdl}\n`;
}
