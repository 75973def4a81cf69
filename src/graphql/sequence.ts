import type { GraphQLField } from 'graphql';

/**
 * Marks a subscription field whose events build on each other: each has to be delivered. Of any other field an event says
 * all there is to know, and the newest one replaces those before it.
 */
export const SEQUENCE = { events: 'sequence' } as const;

/** Whether the field is marked. */
export function isSequence(field: GraphQLField<unknown, unknown> | undefined): boolean {
  return field?.extensions.events === SEQUENCE.events;
}
