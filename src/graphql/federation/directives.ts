/**
 * The directives of Federation 2.6 that this schema uses, with their arguments
 * (https://www.apollographql.com/docs/graphos/schema-design/federated-schemas/reference/directives). A subgraph imports
 * them by `@link` and does not define them.
 */
export type FederationDirectives = {
  key: { locations: 'OBJECT'; args: { fields: string; resolvable?: boolean } };
  shareable: { locations: 'OBJECT' | 'FIELD_DEFINITION'; args: Record<never, never> };
  inaccessible: { locations: 'FIELD_DEFINITION' | 'OBJECT'; args: Record<never, never> };
  tag: { locations: 'FIELD_DEFINITION' | 'OBJECT'; args: { name: string } };
  link: { locations: 'SCHEMA'; args: { url: string; import: string[] } };
};

/** Every router of recent years reads 2.6; nothing of later versions is needed. */
export const FEDERATION_LINK = {
  url: 'https://specs.apollo.dev/federation/v2.6',
  import: ['@key', '@shareable', '@inaccessible', '@tag'],
};

/** Marks what concerns operators only, so that a contract of the supergraph can exclude it. */
export const OPERATOR_TAG = { tag: { name: 'operator' } };
