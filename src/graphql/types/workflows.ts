import type { EngineStatus } from '../../dispatch/engine.ts';
import { describeProblem } from '../../dispatch/engine.ts';
import type { Workflow } from '../../workflows/load.ts';
import type { Builder } from '../builder.ts';

interface Entry {
  readonly name: string;
  /** Null for one that could not be loaded. */
  readonly workflow: Workflow | null;
  readonly runnable: boolean;
  readonly problems: readonly string[];
}

/** Adds `workflows`. */
export function addWorkflows(builder: Builder): void {
  const WorkflowType = builder.objectRef<Entry>('Workflow').implement({
    description: 'A ComfyUI graph that edits can run on.',
    fields: t => ({
      name: t.exposeString('name'),
      title: t.string({ resolve: entry => entry.workflow?.manifest.title ?? entry.name }),
      description: t.string({
        nullable: true,
        resolve: entry => entry.workflow?.manifest.description ?? null,
      }),
      version: t.string({ nullable: true, resolve: entry => entry.workflow?.version ?? null }),
      runnable: t.exposeBoolean('runnable', {
        description: 'Whether an engine is there that can run it now.',
      }),
      problems: t.stringList({
        description: 'What is wrong with its files, or what the engines lack.',
        resolve: entry => [...entry.problems],
      }),
    }),
  });
  builder.queryField('workflows', t =>
    t.field({
      type: [WorkflowType],
      description: 'The most preferred first.',
      resolve: (_root, _args, { workflows, engines }) => [
        ...workflows.all().map(workflow => entryOf(workflow, engines())),
        ...workflows
          .broken()
          .map(({ name, problems }) => ({ name, workflow: null, runnable: false, problems })),
      ],
    }),
  );
}

function entryOf(workflow: Workflow, engines: readonly EngineStatus[]): Entry {
  const { name } = workflow;
  const runnable = engines.some(engine => engine.state === 'READY' && engine.workflows.includes(name));
  const problems = engines.flatMap(engine =>
    (engine.problems.get(name) ?? []).map(problem => `${engine.id} ${describeProblem(problem)}`),
  );
  return { name, workflow, runnable, problems };
}
