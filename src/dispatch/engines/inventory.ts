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

/** What was read, with what was found out about each workflow that was checked against it. */
interface Known {
  /** The classes that were asked for. */
  readonly names: ReadonlySet<string>;
  readonly info: ObjectInfo;
  readonly problems: WeakMap<Workflow, readonly WorkflowProblem[]>;
  readonly models: WeakMap<Workflow, readonly ModelChoice[]>;
}

function check(workflow: Workflow, { names, info, problems }: Known): readonly WorkflowProblem[] | null {
  const before = problems.get(workflow);
  if (before !== undefined) return before;
  if (!classesOf(workflow).every(name => names.has(name))) return null;
  const found = checkAgainstEngine(workflow, info);
  problems.set(workflow, found);
  return found;
}

/** Starts without having read anything. Before each check it waits for its turn: the engines of a fleet are read at the same time. */
export function createInventory(
  client: Pick<EngineClient, 'nodeClasses'>,
  workflows: WorkflowCatalog,
  turn: () => Promise<void>,
): Inventory {
  let known: Known | null = null;

  const problemsOf = (workflow: Workflow): readonly WorkflowProblem[] | null =>
    known === null ? null : check(workflow, known);

  return {
    info: () => known?.info ?? null,
    async read() {
      const names = new Set(workflows.versions().flatMap(classesOf));
      const info = parseObjectInfo(await client.nodeClasses(names));
      // It seldom changes, and to check every workflow takes some milliseconds.
      if (isDeepStrictEqual([known?.names, known?.info], [names, info])) return;
      const read: Known = { names, info, problems: new WeakMap(), models: new WeakMap() };
      for (const workflow of workflows.all()) {
        // The first checks of a process take 10 ms each: requests are answered in between.
        await turn();
        check(workflow, read);
      }
      known = read;
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
