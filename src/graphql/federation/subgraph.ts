import { MapperKind, mapSchema, printSchemaWithDirectives } from '@graphql-tools/utils';
import { type GraphQLSchema, lexicographicSortSchema } from 'graphql';
import { SEMANTIC_NON_NULL } from '../nullability.ts';

/** Routers that do not know `@oneOf` reject its use without a definition. */
const ONE_OF = 'directive @oneOf on INPUT_OBJECT';

/**
 * Relay's names for what each graph has once. Two subgraphs may not both have a field `node` unless either can resolve the
 * ids of the other, and types of a shared interface need the fields of both. Routers find our objects by their keys.
 */
const RELAY_FIELDS = ['node', 'nodes'];
const RELAY_INTERFACE = 'Node';

/** Prints the SDL to compose a supergraph from: the schema with directives and `@link`, always in the same order. */
export function printSubgraph(schema: GraphQLSchema): string {
  const shared = mapSchema(schema, {
    [MapperKind.QUERY_ROOT_FIELD]: (field, name) => (RELAY_FIELDS.includes(name) ? null : field),
    [MapperKind.DIRECTIVE]: directive => (directive.name === SEMANTIC_NON_NULL.name ? null : directive),
    [MapperKind.INTERFACE_TYPE]: type => (type.name === RELAY_INTERFACE ? null : type),
  });
  const sdl = printSchemaWithDirectives(lexicographicSortSchema(shared));
  return `${sdl.includes(ONE_OF) ? '' : `${ONE_OF}\n\n`}${sdl}\n`;
}
