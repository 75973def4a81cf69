import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import type { Workflow } from '../../workflows/workflow.ts';

/** Which models the engines of this process have loaded, as far as their jobs tell. */
export interface Warmth {
  /** The engine has a job of this workflow in its queue: it loads the models when it comes to it. */
  queued(engine: string, workflow: string): void;
  /** Its models may be gone. */
  forget(engine: string): void;
  /** Names of the workflows that need no other models than those of the last job in the engine's queue. */
  of(engine: string): readonly string[];
}

/** Starts without knowing of any engine. */
export function createWarmth(workflows: WorkflowCatalog): Warmth {
  const last = new Map<string, string>();
  return {
    queued: (engine, workflow) => last.set(engine, workflow),
    forget: engine => last.delete(engine),
    of(engine) {
      const name = last.get(engine);
      return name === undefined ? [] : warmAfter(name, workflows.all());
    },
  };
}

/** Names of the workflows that load no model after a job of the workflow `name`, itself the first. Pure. */
export function warmAfter(name: string, workflows: readonly Workflow[]): readonly string[] {
  const loaded = new Set(modelsOf(workflows.find(workflow => workflow.name === name)));
  const others = workflows.filter(workflow => {
    const models = modelsOf(workflow);
    return workflow.name !== name && models.length > 0 && models.every(model => loaded.has(model));
  });
  return [name, ...others.map(workflow => workflow.name)];
}

/** What its manifest says that it needs. */
function modelsOf(workflow: Workflow | undefined): string[] {
  return workflow?.manifest.requires.models.map(({ folder, file }) => `${folder}/${file}`) ?? [];
}
