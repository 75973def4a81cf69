import { GraphQLError, type GraphQLResolveInfo } from 'graphql';
import type { Batch } from '../../jobs/batches/batch.ts';
import type { Job } from '../../jobs/job.ts';
import { show } from '../../workflows/messages.ts';
import type { Builder } from '../builder.ts';
import type { GraphQLContext } from '../context.ts';
import { measureSelections } from '../measure.ts';
import type { BatchType } from '../types/batches.ts';
import type { JobTypes } from '../types/job.ts';

/** Entities that one operation may request: routers send those that one page of another subgraph refers to. */
export const ENTITY_LIMIT = 1000;

/**
 * Cost of all entities of one operation, in fields: a thousand complete jobs are 40,000. Their number is known only at
 * execution, so the limit on documents assumes a few.
 */
const ENTITY_COST = 50_000;

/** What a batch costs beside its fields: its jobs are counted, up to a thousand. */
const BATCH_COST = 20;

export interface EntityTypes {
  readonly JobType: JobTypes['JobType'];
  readonly BatchType: BatchType;
}

/** An entity by its key. */
interface Reference {
  readonly type: 'EditJob' | 'EditBatch';
  readonly id: string;
}

/**
 * Adds `_service` and `_entities`, which routers query
 * (https://www.apollographql.com/docs/graphos/reference/federation/subgraph-spec). `sdl` returns what `_service` has.
 */
export function addFederation(
  builder: Builder,
  { JobType, BatchType }: EntityTypes,
  sdl: () => Promise<string>,
): void {
  builder.scalarType('_Any', {
    description: 'An entity by its `__typename` and key.',
    serialize: value => value,
    parseValue: value => value,
  });
  const Entity = builder.unionType('_Entity', {
    types: [JobType, BatchType],
    resolveType: (entity: Job | Batch): Reference['type'] => ('counts' in entity ? 'EditBatch' : 'EditJob'),
  });
  const Service = builder.objectRef<{ sdl: string }>('_Service').implement({
    fields: t => ({ sdl: t.exposeString('sdl', { description: 'The subgraph’s schema.' }) }),
  });
  // Per operation: a document may request entities under many aliases.
  const spent = new WeakMap<GraphQLContext, number>();

  function charge(context: GraphQLContext, wanted: readonly Reference[], info: GraphQLResolveInfo): void {
    const batches = wanted.filter(({ type }) => type === 'EditBatch').length;
    const sum = (spent.get(context) ?? 0) + wanted.length * costOfEach(info) + batches * BATCH_COST;
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
    _service: t.field({ type: Service, resolve: async () => ({ sdl: await sdl() }) }),
    _entities: t.field({
      type: [Entity],
      nullable: { list: false, items: true },
      args: { representations: t.arg({ type: ['_Any'], required: true }) },
      resolve(_root, { representations }, context, info) {
        const wanted = readReferences(representations);
        charge(context, wanted, info);
        return loadEntities(wanted, context);
      },
    }),
  }));
}

/**
 * In the requested order; null for what does not exist or is another caller's. Jobs are read at once, however many.
 */
async function loadEntities(
  wanted: readonly Reference[],
  { jobs, caller }: GraphQLContext,
): Promise<(Job | Batch | null)[]> {
  const idsOf = (type: Reference['type']): readonly string[] => [
    ...new Set(wanted.flatMap(one => (one.type === type ? [one.id] : []))),
  ];
  const [jobIds, batchIds] = [idsOf('EditJob'), idsOf('EditBatch')];
  const [foundJobs, foundBatches] = await Promise.all([
    jobIds.length === 0 ? [] : jobs.getMany(jobIds, caller),
    batchIds.length === 0 ? [] : jobs.batches.getMany(batchIds, caller),
  ]);
  const jobOf = new Map(jobIds.map((id, index) => [id, foundJobs[index] ?? null]));
  const batchOf = new Map(batchIds.map((id, index) => [id, foundBatches[index] ?? null]));
  return wanted.map(({ type, id }) => (type === 'EditJob' ? jobOf : batchOf).get(id) ?? null);
}

/** The cost of one entity, in fields. */
function costOfEach({ schema, fragments, fieldNodes }: GraphQLResolveInfo): number {
  const known = new Map(Object.entries(fragments));
  return fieldNodes.reduce(
    (sum, { selectionSet }) =>
      selectionSet === undefined
        ? sum
        : sum + measureSelections(schema, known, selectionSet, schema.getType('_Entity')).cost,
    0,
  );
}

function readReferences(representations: readonly unknown[]): readonly Reference[] {
  if (representations.length > ENTITY_LIMIT) {
    throw invalid(`representations takes at most ${ENTITY_LIMIT}, got ${representations.length}`);
  }
  return representations.map(referenceOf);
}

function referenceOf(representation: unknown): Reference {
  if (typeof representation !== 'object' || representation === null) {
    throw invalid(`representations takes objects, got ${show(representation)}`);
  }
  const type = '__typename' in representation ? representation.__typename : undefined;
  if (type !== 'EditJob' && type !== 'EditBatch') {
    throw invalid(`representations takes the types EditJob and EditBatch, got ${show(type)}`);
  }
  const id = 'id' in representation ? representation.id : undefined;
  // Another subgraph may keep the key as a number.
  if (typeof id === 'number') return { type, id: String(id) };
  if (typeof id === 'string') return { type, id };
  throw invalid(`representations takes an ${type} by its id, got ${show(id)}`);
}

function invalid(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT' } });
}
