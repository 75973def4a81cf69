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

/** 2.6: what every router of the last years reads; nothing of later versions is needed. */
export const FEDERATION_LINK = {
  url: 'https://specs.apollo.dev/federation/v2.6',
  import: ['@key', '@shareable', '@inaccessible', '@tag'],
};

/** What only operators look at: a contract of the supergraph can leave it out by this tag. */
export const OPERATOR_TAG = { tag: { name: 'operator' } };
