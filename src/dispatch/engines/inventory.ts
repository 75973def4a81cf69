import { setImmediate } from 'node:timers/promises';
import type { EngineClient } from '../../comfyui/client.ts';
import type { ModelChoice } from '../../workflows/bind/models.ts';
import { checkAgainstEngine, modelsOnEngine, type WorkflowProblem } from '../../workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../../workflows/check/object-info.ts';
import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import type { Workflow } from '../../workflows/workflow.ts';
import type { Problems } from './inspection.ts';

/** The nodes and files of an engine, and what workflows make of them. Each workflow is checked once against what was read. */
export interface Inventory {
  /** As it was read last; null before the first time. */
  info(): ObjectInfo | null;
  /** Reads it again. Rejects with EngineUnreachable, and when it is not what ComfyUI says. */
  read(): Promise<void>;
  /** Why the engine cannot run a workflow, empty when it can; null before the first read. */
  problemsOf(workflow: Workflow): readonly WorkflowProblem[] | null;
  /** The same of every workflow there is; empty before the first read. */
  problems(): Problems;
  /** The files that the engine uses for those with alternatives, by workflow of these names. */
  models(names: readonly string[]): ReadonlyMap<string, readonly ModelChoice[]>;
}

/** Starts without having read anything. */
export function createInventory(
  client: Pick<EngineClient, 'objectInfo'>,
  workflows: WorkflowCatalog,
): Inventory {
  /** With what was found out about each workflow that was checked against it. */
  let known: {
    readonly info: ObjectInfo;
    readonly problems: WeakMap<Workflow, readonly WorkflowProblem[]>;
    readonly models: WeakMap<Workflow, readonly ModelChoice[]>;
  } | null = null;

  function problemsOf(workflow: Workflow): readonly WorkflowProblem[] | null {
    if (known === null) return null;
    const found = known.problems.get(workflow) ?? checkAgainstEngine(workflow, known.info);
    known.problems.set(workflow, found);
    return found;
  }

  return {
    info: () => known?.info ?? null,
    async read() {
      const info = parseObjectInfo(await client.objectInfo());
      known = { info, problems: new WeakMap(), models: new WeakMap() };
      for (const workflow of workflows.all()) {
        problemsOf(workflow);
        // The first checks of a process take 10 ms each: requests are answered in between.
        await setImmediate();
      }
    },
    problemsOf,
    problems: () =>
      new Map(
        workflows.all().flatMap(workflow => {
          const found = problemsOf(workflow);
          return found === null ? [] : [[workflow.name, found] as const];
        }),
      ),
    models(names) {
      const chosen = new Map<string, readonly ModelChoice[]>();
      for (const workflow of workflows.all()) {
        if (known === null || !names.includes(workflow.name)) continue;
        const found = known.models.get(workflow) ?? modelsOnEngine(workflow, known.info);
        known.models.set(workflow, found);
        if (found.length > 0) chosen.set(workflow.name, found);
      }
      return chosen;
    },
  };
}
