import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { EngineClient } from '../../comfyui/client.ts';
import type { ModelChoice } from '../../workflows/bind/models.ts';
import { checkAgainstEngine, modelsOnEngine, type WorkflowProblem } from '../../workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../../workflows/check/object-info.ts';
import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import { classesOf, type Workflow } from '../../workflows/workflow.ts';
import type { Problems } from './inspection.ts';

/**
 * The nodes and files of an engine, as far as workflows need them, and what workflows make of them. Each workflow is checked
 * once against what was read.
 */
export interface Inventory {
  /** The classes that workflows name and the engine has, as they were read last; null before the first time. */
  info(): ObjectInfo | null;
  /** Reads it again. Rejects with EngineUnreachable, also when it is not what ComfyUI says. */
  read(): Promise<void>;
  /** Why the engine cannot run a workflow, empty when it can; null before its classes were read. */
  problemsOf(workflow: Workflow): readonly WorkflowProblem[] | null;
  /** The same of every workflow whose classes were read. */
  problems(): Problems;
  /** The files that the engine uses for those with alternatives, by workflow of these names. */
  models(names: readonly string[]): ReadonlyMap<string, readonly ModelChoice[]>;
}

/** Starts without having read anything. */
export function createInventory(
  client: Pick<EngineClient, 'nodeClasses'>,
  workflows: WorkflowCatalog,
): Inventory {
  /** With what was found out about each workflow that was checked against it. */
  let known: {
    /** The classes that were asked for. */
    readonly names: ReadonlySet<string>;
    readonly info: ObjectInfo;
    readonly problems: WeakMap<Workflow, readonly WorkflowProblem[]>;
    readonly models: WeakMap<Workflow, readonly ModelChoice[]>;
  } | null = null;

  function problemsOf(workflow: Workflow): readonly WorkflowProblem[] | null {
    if (known === null) return null;
    const before = known.problems.get(workflow);
    if (before !== undefined) return before;
    const { names, info } = known;
    if (!classesOf(workflow).every(name => names.has(name))) return null;
    const found = checkAgainstEngine(workflow, info);
    known.problems.set(workflow, found);
    return found;
  }

  return {
    info: () => known?.info ?? null,
    async read() {
      const names = new Set(workflows.versions().flatMap(classesOf));
      const info = parseObjectInfo(await client.nodeClasses(names));
      // It seldom changes, and to check every workflow takes some milliseconds.
      if (isDeepStrictEqual([known?.names, known?.info], [names, info])) return;
      known = { names, info, problems: new WeakMap(), models: new WeakMap() };
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
