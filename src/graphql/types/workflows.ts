import { GraphQLError } from 'graphql';
import type { EngineStatus } from '../../dispatch/engines/engine.ts';
import type { Size } from '../../images/formats.ts';
import { resultSize } from '../../workflows/bind/bind.ts';
import { describeProblem } from '../../workflows/check/engine.ts';
import type { Manifest } from '../../workflows/manifest.ts';
import { type FormField, formOf, type Workflow } from '../../workflows/workflow.ts';
import { enginesFor } from '../access.ts';
import type { Builder } from '../builder.ts';
import type { GraphQLContext } from '../context.ts';
import { FAILS_ALONE } from '../nullability.ts';
import type { JobTypes } from './job.ts';

interface Entry {
  readonly name: string;
  /** Null when it could not be loaded. */
  readonly workflow: Workflow | null;
  readonly runnable: boolean;
  readonly problems: readonly string[];
}

const TYPES = { integer: 'INTEGER', number: 'NUMBER', string: 'STRING', boolean: 'BOOLEAN' } as const;

/** Longer sides than any image has that a model can edit. */
const MAX_SIDE = 100_000;

/** How the ids of workflows begin. */
export const WORKFLOW_ID = 'workflow:';

/** Adds `workflows`. */
export function addWorkflows(builder: Builder, { Node, SizeType }: JobTypes): void {
  const ParameterType = builder.enumType('EditParameterType', { values: Object.values(TYPES) });
  const Parameter = builder.objectRef<FormField>('EditWorkflowParameter').implement({
    description:
      'A parameter of a workflow. An edit sets `steps`, `cfg` and `megapixels` by its fields of those names, others in `parameters`.',
    fields: t => ({
      name: t.exposeString('name'),
      type: t.field({ type: ParameterType, resolve: field => TYPES[field.type] }),
      default: t.field({
        type: 'JSON',
        description: 'Used when an edit does not set it.',
        resolve: field => field.default,
      }),
      minimum: t.exposeFloat('minimum', { nullable: true }),
      maximum: t.exposeFloat('maximum', { nullable: true }),
      options: t.field({
        type: ['JSON'],
        nullable: true,
        description: 'The accepted values. Null: any within its range.',
        resolve: field => field.options,
      }),
      description: t.exposeString('description'),
    }),
  });
  const Requirement = builder
    .objectRef<Manifest['requires']['models'][number]>('EditWorkflowRequirement')
    .implement({
      description: 'A file of model weights that the engine needs.',
      fields: t => ({
        file: t.exposeString('file'),
        folder: t.exposeString('folder', { description: 'Below ComfyUI’s models folder.' }),
        alternatives: t.stringList({
          description: 'Files that do as well, best first. `engines` says which one each engine uses.',
          resolve: ({ alternatives }) => alternatives.map(({ file }) => file),
        }),
      }),
    });
  const WorkflowType = builder.objectRef<Entry>('EditWorkflow').implement({
    description: 'A ComfyUI graph that can run edits.',
    interfaces: [Node],
    fields: t => ({
      id: t.id({ resolve: ({ name }) => `${WORKFLOW_ID}${name}` }),
      name: t.exposeString('name'),
      title: t.string({ resolve: entry => entry.workflow?.manifest.title ?? entry.name }),
      description: t.string({
        nullable: true,
        resolve: entry => entry.workflow?.manifest.description ?? null,
      }),
      version: t.string({ nullable: true, resolve: entry => entry.workflow?.version ?? null }),
      runnable: t.exposeBoolean('runnable', {
        description: 'Whether an engine can run it now.',
      }),
      problems: t.stringList({
        description: 'Problems of its files, and what the engines lack.',
        resolve: entry => [...entry.problems],
      }),
      takesMask: t.boolean({
        description: 'Whether edits need a mask of what to change. Others cannot have one.',
        resolve: ({ workflow }) => workflow?.manifest.mask !== undefined,
      }),
      parameters: t.field({
        type: [Parameter],
        description: 'Enough to build a form from. Empty when its files are broken.',
        resolve: ({ workflow }) => (workflow === null ? [] : formOf(workflow.manifest)),
      }),
      resultSize: t.field({
        type: SizeType,
        nullable: true,
        description: 'The size of the result of an edit. Null: the graph of the workflow decides it.',
        args: {
          width: t.arg.int({ required: true, description: 'Of image 1, in pixels.' }),
          height: t.arg.int({ required: true, description: 'Of image 1, in pixels.' }),
          megapixels: t.arg.float({ description: 'As in `EditImageInput`.' }),
        },
        resolve: ({ workflow }, { width, height, megapixels }) =>
          workflow === null ? null : sizeFor(workflow, { width, height }, megapixels ?? null),
      }),
      requirements: t.field({
        type: [Requirement],
        description: 'Some are needed only for certain parameter values.',
        resolve: ({ workflow }) => workflow?.manifest.requires.models ?? [],
      }),
    }),
  });
  builder.queryField('workflows', t =>
    t.field({
      type: [WorkflowType],
      ...FAILS_ALONE,
      description: 'Most preferred first.',
      resolve: (_root, _args, context) => workflowsFor(context),
    }),
  );
}

/** The workflows as this caller may see them, most preferred first. */
export function workflowsFor({ workflows, engines, caller }: GraphQLContext): Entry[] {
  const visible = enginesFor(caller, engines());
  return [
    ...workflows.all().map(workflow => entryOf(workflow, visible)),
    ...workflows.broken().map(({ name, problems }) => ({ name, workflow: null, runnable: false, problems })),
  ];
}

/** Null where the graph decides, or where an edit with these megapixels would be rejected. */
function sizeFor({ manifest }: Workflow, image: Size, given: number | null): Size | null {
  for (const side of ['width', 'height'] as const) {
    const value = image[side];
    if (value >= 1 && value <= MAX_SIDE) continue;
    const message = `${side} takes 1 to ${MAX_SIDE}, got ${value}`;
    throw new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', field: side } });
  }
  const range = manifest.parameters.megapixels;
  if (range === undefined) return null;
  const megapixels = given ?? range.default;
  const fits = megapixels >= range.minimum && megapixels <= range.maximum;
  return fits ? resultSize(manifest, image, megapixels) : null;
}

/** A workflow, with what the engines say of it. */
export function entryOf(workflow: Workflow, engines: readonly EngineStatus[]): Entry {
  const { name } = workflow;
  const runnable = engines.some(engine => engine.state === 'READY' && engine.workflows.includes(name));
  const problems = engines.flatMap(engine =>
    (engine.problems.get(name) ?? []).map(problem => `${engine.id} ${describeProblem(problem)}`),
  );
  return { name, workflow, runnable, problems };
}
