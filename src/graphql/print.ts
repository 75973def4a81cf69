import { getDocumentNodeFromSchema } from '@graphql-tools/utils';
import { type GraphQLSchema, lexicographicSortSchema, print, visit } from 'graphql';
import { FEDERATION_LINK } from './federation/directives.ts';
import { CLIENT_DIRECTIVES } from './nullability.ts';

const FOR_ROUTERS = new Set(['link', ...FEDERATION_LINK.import.map(name => name.slice(1))]);

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
