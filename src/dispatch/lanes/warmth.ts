import type { LastClaim, LastClaims } from '../../jobs/last-claims.ts';
import type { Log } from '../../log.ts';
import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import type { Workflow } from '../../workflows/workflow.ts';

/** Which models engines have loaded, as far as the jobs of all gateways tell. */
export interface Warmth {
  /** The engine has a job of this workflow in its queue: it loads the models when it comes to it. */
  queued(engine: string, workflow: string): void;
  /** Its models may be gone. */
  forget(engine: string): void;
  /** Names of the workflows that need no other models than those of the last job in the engine's queue. */
  of(engine: string): readonly string[];
  /** Reads what other gateways claimed, and of which engines they know that the models are gone. Rejects with StoreUnavailable. */
  read(): Promise<void>;
  /** Resolves when other gateways know what was forgotten, as far as the store responds. */
  stop(): Promise<void>;
}

export interface WarmthOptions {
  readonly workflows: WorkflowCatalog;
  /** Null: no other gateway uses the store. */
  readonly claims: LastClaims | null;
  readonly log: Log;
}

/** Starts without knowing of any engine, and listens to what other gateways claim. */
export function createWarmth({ workflows, claims, log }: WarmthOptions): Warmth {
  const last = new Map<string, string>();
  /** The newest mark of each engine: an older claim says nothing new, also after the engine was forgotten. */
  const marks = new Map<string, number>();
  /** What other gateways are being told. */
  const forgetting = new Set<Promise<void>>();

  function hear({ engine, workflow, mark }: LastClaim): void {
    if (mark <= (marks.get(engine) ?? 0)) return;
    marks.set(engine, mark);
    last.set(engine, workflow);
  }
  const stopListening = claims?.onChange(hear);

  return {
    queued: (engine, workflow) => last.set(engine, workflow),
    forget(engine) {
      const mark = marks.get(engine);
      if (!last.delete(engine) || claims === null || mark === undefined) return;
      const forgotten = claims
        .forget({ engine, mark })
        .catch(error => {
          log.debug({ engine, err: error }, 'other gateways may take the models of the engine for loaded');
        })
        .finally(() => forgetting.delete(forgotten));
      forgetting.add(forgotten);
    },
    of(engine) {
      const name = last.get(engine);
      return name === undefined ? [] : warmAfter(name, workflows.all());
    },
    async read() {
      if (claims === null) return;
      const before = [...marks];
      const found = await claims.read();
      for (const claim of found) hear(claim);
      const present = new Set(found.map(({ engine }) => engine));
      for (const [engine, mark] of before) {
        // A claim that came while it read may be newer than what it read.
        if (present.has(engine) || marks.get(engine) !== mark) continue;
        marks.delete(engine);
        last.delete(engine);
      }
    },
    async stop() {
      stopListening?.();
      await Promise.all(forgetting);
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
