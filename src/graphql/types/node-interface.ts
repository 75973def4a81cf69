import type { Builder } from '../builder.ts';

/** An object that `node` returns, with the name of its type. */
export type NodeValue = Readonly<Record<string, unknown>> & { readonly __typename: string };

export type NodeInterface = ReturnType<typeof addNodeInterface>;

/** Adds the interface that each type with an id of its own implements. */
export function addNodeInterface(builder: Builder) {
  return builder.interfaceRef<object>('Node').implement({
    description:
      'An object with an id that no other object has (https://relay.dev/graphql/objectidentification.htm).',
    fields: t => ({ id: t.id() }),
  });
}
