import { didYouMean } from '../messages.ts';
import type { BrokenWorkflow, LoadedWorkflows, Workflow } from '../workflow.ts';

export type Choice = { ok: true; workflow: Workflow } | { ok: false; message: string };

/** The workflows of this gateway. */
export interface WorkflowCatalog {
  /** The most preferred first. */
  all(): readonly Workflow[];
  broken(): readonly BrokenWorkflow[];
  /** Every version that `find` knows: those of `all`, and earlier ones. */
  versions(): readonly Workflow[];
  /** The version that a job was submitted with or, when it is gone, the current one of that name. */
  find(name: string, version: string): Workflow | null;
  /**
   * The workflow of this name. Without a name, of those that take a mask (`masked`) or of the others: the configured one,
   * else the first that an engine can run.
   */
  choose(name: string | null, masked?: boolean): Choice;
}

/** A catalog whose content can be replaced while it is in use. */
export interface ReloadableCatalog extends WorkflowCatalog {
  /**
   * Replaces all workflows. Jobs that were submitted with an earlier version still find it: the newest `KEPT_VERSIONS`
   * of each name are kept.
   */
  reload(loaded: LoadedWorkflows): void;
}

/** How many earlier versions of a workflow are kept in memory. */
export const KEPT_VERSIONS = 20;

/**
 * `preferred` is the configured default. `canRun` says whether some engine can run the workflow of this name; while none
 * can, the most preferred workflow is the default, and its jobs wait.
 */
export function createCatalog(
  loaded: LoadedWorkflows,
  preferred: string | null,
  canRun: (name: string) => boolean,
): ReloadableCatalog {
  let { workflows, broken } = loaded;
  /** By name; the most recently replaced version last. */
  const earlier = new Map<string, readonly Workflow[]>();

  function named(name: string): Choice {
    const workflow = workflows.find(candidate => candidate.name === name);
    if (workflow !== undefined) return { ok: true, workflow };
    const faulty = broken.find(candidate => candidate.name === name);
    if (faulty !== undefined) return { ok: false, message: `${name} is broken: ${faulty.problems[0] ?? ''}` };
    const names = workflows.map(candidate => candidate.name);
    return {
      ok: false,
      message: `takes one of ${names.join(', ')}, got ${JSON.stringify(name)}${didYouMean(name, names)}`,
    };
  }

  return {
    all: () => workflows,
    broken: () => broken,
    versions: () => [...workflows, ...[...earlier.values()].flat()],
    find: (name, version) =>
      workflows.find(workflow => workflow.name === name && workflow.version === version) ??
      earlier.get(name)?.find(workflow => workflow.version === version) ??
      workflows.find(workflow => workflow.name === name) ??
      null,
    choose(name, masked = false) {
      if (name !== null) return named(name);
      const suits = ({ manifest }: Workflow) => (manifest.mask !== undefined) === masked;
      const suitable = workflows.filter(suits);
      const configured = preferred === null ? null : named(preferred);
      // One that does not suit is returned if no other does: the caller says what is missing.
      if (configured !== null && (!configured.ok || suits(configured.workflow) || suitable.length === 0)) {
        return configured;
      }
      const workflow = suitable.find(({ name }) => canRun(name)) ?? suitable[0] ?? workflows[0];
      return workflow === undefined ? { ok: false, message: 'there is no workflow' } : { ok: true, workflow };
    },
    reload(next) {
      for (const old of workflows) {
        const others = (earlier.get(old.name) ?? []).filter(({ version }) => version !== old.version);
        earlier.set(old.name, [...others, old].slice(-KEPT_VERSIONS));
      }
      ({ workflows, broken } = next);
    },
  };
}
