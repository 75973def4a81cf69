import type { Batch } from '../../jobs/batches/batch.ts';
import type { Job } from '../../jobs/job.ts';
import { enginesFor } from '../access.ts';
import type { Builder } from '../builder.ts';
import type { GraphQLContext } from '../context.ts';
import { PAGE_LIMIT } from '../measure.ts';
import { imageOf } from './images.ts';
import { invalid } from './invalid.ts';
import type { JobTypes } from './job.ts';
import type { NodeValue } from './node-interface.ts';
import { WORKFLOW_ID, workflowsFor } from './workflows.ts';

/** What a caller's id names. An id of an image begins with that of its job; ids of jobs and batches look the same. */
type Reference =
  | { readonly kind: 'found'; readonly value: NodeValue | null }
  | { readonly kind: 'job-or-batch'; readonly id: string }
  | { readonly kind: 'image'; readonly id: string; readonly image: string };

const IMAGE_ID = /^(.+?):((?:input|output):\d+|mask|preview)$/;

/** Adds `node` and `nodes`. */
export function addNodeQueries(builder: Builder, { Node }: JobTypes): void {
  builder.queryFields(t => ({
    node: t.field({
      type: Node,
      nullable: true,
      description:
        'The object with this id: a job, one of its images, a batch, an engine or a workflow. Null where there is none that the ' +
        'caller may see.',
      args: { id: t.arg.id({ required: true }) },
      resolve: async (_root, { id }, context) => (await loadNodes([id], context))[0] ?? null,
    }),
    nodes: t.field({
      type: [Node],
      nullable: { list: false, items: true },
      description: 'The objects with these ids, in the order of the ids.',
      args: { ids: t.arg.idList({ required: true, description: `At most ${PAGE_LIMIT}.` }) },
      resolve: (_root, { ids }, context) => {
        if (ids.length > PAGE_LIMIT)
          throw invalid('ids', `takes at most ${PAGE_LIMIT} ids, got ${ids.length}`);
        return loadNodes(ids, context);
      },
    }),
  }));
}

/** In the order of the ids. Reads the jobs of all of them at once, then as batches what are no jobs. */
async function loadNodes(ids: readonly string[], context: GraphQLContext): Promise<(NodeValue | null)[]> {
  const references = ids.map(id => referenceOf(id, context));
  const jobIds = [...new Set(references.flatMap(one => (one.kind === 'found' ? [] : [one.id])))];
  const jobs = new Map<string, Job>();
  for (const job of await readJobs(jobIds, context)) if (job !== null) jobs.set(job.id, job);
  const others = references.flatMap(one =>
    one.kind === 'job-or-batch' && !jobs.has(one.id) ? [one.id] : [],
  );
  const batches = new Map<string, Batch>();
  for (const batch of await context.jobs.batches.getMany([...new Set(others)], context.caller)) {
    if (batch !== null) batches.set(batch.id, batch);
  }
  return references.map(one => {
    if (one.kind === 'found') return one.value;
    const job = jobs.get(one.id);
    if (one.kind === 'image') return job === undefined ? null : imageOf(job, one.image);
    if (job !== undefined) return { __typename: 'EditJob', ...job };
    const batch = batches.get(one.id);
    return batch === undefined ? null : { __typename: 'EditBatch', ...batch };
  });
}

async function readJobs(
  ids: readonly string[],
  { jobs, caller }: GraphQLContext,
): Promise<readonly (Job | null)[]> {
  const [only, ...others] = ids;
  if (only === undefined) return [];
  // A single job may be in memory.
  return others.length === 0 ? [await jobs.get(only, caller)] : jobs.getMany(ids, caller);
}

/**
 * Ids are those that the types had before there was `node`, so they name no type. An engine's is any host and port: engines,
 * few and in memory, are looked through first.
 */
function referenceOf(id: string, context: GraphQLContext): Reference {
  const engine = enginesFor(context.caller, context.engines()).find(one => one.id === id);
  if (engine !== undefined) return { kind: 'found', value: { __typename: 'EditEngine', ...engine } };
  if (id.startsWith(WORKFLOW_ID)) {
    const name = id.slice(WORKFLOW_ID.length);
    const workflow = workflowsFor(context).find(one => one.name === name);
    return {
      kind: 'found',
      value: workflow === undefined ? null : { __typename: 'EditWorkflow', ...workflow },
    };
  }
  const [, job, image] = IMAGE_ID.exec(id) ?? [];
  return job === undefined || image === undefined
    ? { kind: 'job-or-batch', id }
    : { kind: 'image', id: job, image };
}
