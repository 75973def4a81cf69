import { GraphQLError, type GraphQLResolveInfo } from 'graphql';
import type { Job } from '../../jobs/job.ts';
import { show } from '../../workflows/messages.ts';
import type { Builder } from '../builder.ts';
import type { GraphQLContext } from '../context.ts';
import { measureSelections } from '../measure.ts';
import type { JobTypes } from '../types/job.ts';

/** Entities that one operation may request: routers send those that one page of another subgraph refers to. */
export const ENTITY_LIMIT = 1000;

/**
 * Cost of all entities of one operation, in fields: a thousand complete jobs are 40,000. Their number is known only at
 * execution, so the limit on documents assumes a few.
 */
const ENTITY_COST = 50_000;

/**
 * Adds `_service` and `_entities`, which routers query
 * (https://www.apollographql.com/docs/graphos/reference/federation/subgraph-spec). `sdl` is returned by `_service`.
 */
export function addFederation(builder: Builder, { JobType }: JobTypes, sdl: string): void {
  builder.scalarType('_Any', {
    description: 'An entity by its `__typename` and key.',
    serialize: value => value,
    parseValue: value => value,
  });
  const Entity = builder.unionType('_Entity', { types: [JobType], resolveType: () => 'EditJob' });
  const Service = builder.objectRef<{ sdl: string }>('_Service').implement({
    fields: t => ({ sdl: t.exposeString('sdl', { description: 'The subgraph’s schema.' }) }),
  });
  // Per operation: a document may request entities under many aliases.
  const spent = new WeakMap<GraphQLContext, number>();

  function charge(context: GraphQLContext, members: number, info: GraphQLResolveInfo): void {
    const sum = (spent.get(context) ?? 0) + members * costOfEach(info);
    if (sum > ENTITY_COST) {
      throw new GraphQLError(
        `The entities cost ${sum} fields; the limit is ${ENTITY_COST}: request fewer at once`,
        {
          extensions: { code: 'DOCUMENT_LIMIT', limit: 'cost' },
        },
      );
    }
    spent.set(context, sum);
  }

  builder.queryFields(t => ({
    _service: t.field({ type: Service, resolve: () => ({ sdl }) }),
    _entities: t.field({
      type: [Entity],
      nullable: { list: false, items: true },
      args: { representations: t.arg({ type: ['_Any'], required: true }) },
      resolve(_root, { representations }, context, info) {
        charge(context, representations.length, info);
        return loadEntities(representations, context);
      },
    }),
  }));
}

/** In the requested order; null for a job that does not exist or is another caller's. One read, however many. */
async function loadEntities(
  representations: readonly unknown[],
  { jobs, caller }: GraphQLContext,
): Promise<(Job | null)[]> {
  if (representations.length > ENTITY_LIMIT) {
    throw invalid(`representations takes at most ${ENTITY_LIMIT}, got ${representations.length}`);
  }
  const ids = representations.map(idOf);
  const distinct = [...new Set(ids)];
  const found = await jobs.getMany(distinct, caller);
  const byId = new Map(distinct.map((id, index) => [id, found[index] ?? null]));
  return ids.map(id => byId.get(id) ?? null);
}

/** The cost of one entity, in fields. */
function costOfEach({ schema, fragments, fieldNodes }: GraphQLResolveInfo): number {
  const known = new Map(Object.entries(fragments));
  return fieldNodes.reduce(
    (sum, { selectionSet }) =>
      selectionSet === undefined
        ? sum
        : sum + measureSelections(schema, known, selectionSet, schema.getType('EditJob')).cost,
    0,
  );
}

function idOf(representation: unknown): string {
  if (typeof representation !== 'object' || representation === null) {
    throw invalid(`representations takes objects, got ${show(representation)}`);
  }
  const typename = '__typename' in representation ? representation.__typename : undefined;
  if (typename !== 'EditJob') throw invalid(`representations takes the type EditJob, got ${show(typename)}`);
  const id = 'id' in representation ? representation.id : undefined;
  // Another subgraph may keep the key as a number.
  if (typeof id === 'number') return String(id);
  if (typeof id === 'string') return id;
  throw invalid(`representations takes an EditJob by its id, got ${show(id)}`);
}

function invalid(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT' } });
}
