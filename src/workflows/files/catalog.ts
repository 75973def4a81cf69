import { didYouMean } from '../messages.ts';
import type { BrokenWorkflow, LoadedWorkflows, Workflow } from '../workflow.ts';

export type Choice = { ok: true; workflow: Workflow } | { ok: false; message: string };

/** The workflows of this gateway. */
export interface WorkflowCatalog {
  /** The most preferred first. */
  all(): readonly Workflow[];
  broken(): readonly BrokenWorkflow[];
  /** The version that a job was submitted with; when it is gone, the present one of that name. */
  find(name: string, version: string): Workflow | null;
  /** The one of this name; without a name the configured one, else the first that an engine can run. */
  choose(name: string | null): Choice;
}

/** A catalog whose files may change while it is used. */
export interface ReloadableCatalog extends WorkflowCatalog {
  /**
   * Puts what was loaded in the place of what was there. Versions that are no longer present stay to be found by jobs
   * that were submitted with them: the newest `KEPT_VERSIONS` of each name.
   */
  reload(loaded: LoadedWorkflows): void;
}

/** Earlier versions of a workflow that are kept in memory. */
export const KEPT_VERSIONS = 20;

/**
 * `preferred` is the configured default; `canRun` tells whether an engine is there that can run a workflow: while
 * none is known to, the most preferred one is chosen, and its jobs wait.
 */
export function createCatalog(
  loaded: LoadedWorkflows,
  preferred: string | null,
  canRun: (name: string) => boolean,
): ReloadableCatalog {
  let { workflows, broken } = loaded;
  /** By name, the one that was present last at the end. */
  const earlier = new Map<string, readonly Workflow[]>();

  function named(name: string): Choice {
    const workflow = workflows.find(candidate => candidate.name === name);
    if (workflow !== undefined) return { ok: true, workflow };
    const set = broken.find(candidate => candidate.name === name);
    if (set !== undefined)
      return { ok: false, message: `${name} is set aside: ${set.problems[0] ?? 'broken'}` };
    const names = workflows.map(candidate => candidate.name);
    return {
      ok: false,
      message: `takes one of ${names.join(', ')}, got ${JSON.stringify(name)}${didYouMean(name, names)}`,
    };
  }

  return {
    all: () => workflows,
    broken: () => broken,
    find: (name, version) =>
      workflows.find(workflow => workflow.name === name && workflow.version === version) ??
      earlier.get(name)?.find(workflow => workflow.version === version) ??
      workflows.find(workflow => workflow.name === name) ??
      null,
    choose(name) {
      if (name !== null) return named(name);
      if (preferred !== null) return named(preferred);
      const workflow = workflows.find(candidate => canRun(candidate.name)) ?? workflows[0];
      return workflow === undefined ? { ok: false, message: 'there is no workflow' } : { ok: true, workflow };
    },
    reload(next) {
      for (const old of workflows) {
        const others = (earlier.get(old.name) ?? []).filter(({ version }) => version !== old.version);
        earlier.set(old.name, [...others, old].slice(-KEPT_VERSIONS));
      }
      workflows = next.workflows;
      broken = next.broken;
    },
  };
}
