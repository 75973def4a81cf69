import { z } from 'zod';
import type { FleetChanges } from '../../src/dispatch/fleet/changes.ts';
import { postGraphQL } from './requests.ts';

/** A fleet without engines, which takes none. */
export const NO_FLEET: FleetChanges = {
  add: async () => ({ kind: 'invalid', fault: 'takes no URL' }),
  remove: async () => false,
  drain: async () => null,
  register: async () => ({ kind: 'invalid', fault: 'takes no URL' }),
  signOff: async () => false,
};

const engines = z.object({
  engines: z.array(
    z.object({ id: z.string(), state: z.string(), source: z.string(), reason: z.string().nullable() }),
  ),
});
const changed = z.record(
  z.string(),
  z.looseObject({ __typename: z.string(), message: z.string().optional() }),
);

/** The engines of a gateway, as an operator sees and changes them. */
export function fleetOf(url: string) {
  async function mutate(query: string, variables: Record<string, unknown>): Promise<unknown> {
    const { data } = await postGraphQL(url, query, variables);
    const [result] = Object.values(changed.parse(data));
    return result?.message ?? result?.__typename;
  }
  const list = async () => {
    const { data } = await postGraphQL(url, '{ engines { id state source reason } }');
    return engines.parse(data).engines;
  };
  return {
    list,
    /** The state of an engine; null: it is not in the fleet. */
    stateOf: async (id: string) => (await list()).find(engine => engine.id === id)?.state ?? null,
    /** The type of the result, or its message. */
    add: (engine: string) =>
      mutate(
        'mutation ($url: String!) { addEngine(url: $url) { __typename ... on EditError { message } } }',
        { url: engine },
      ),
    remove: (id: string) =>
      mutate('mutation ($id: ID!) { removeEngine(id: $id) { __typename ... on EditError { message } } }', {
        id,
      }),
    drain: (id: string, drained: boolean, reason: string | null = null) =>
      mutate(
        'mutation ($id: ID!, $drained: Boolean!, $reason: String) { setEngineState(id: $id, drained: $drained, reason: $reason) { __typename ... on EditError { message } } }',
        { id, drained, reason },
      ),
  };
}
