import { checkAgainstEngine, type WorkflowProblem } from './check-engine.ts';
import { explainProblem } from './explain.ts';
import type { Workflow } from './load.ts';
import { nearest } from './nearest.ts';
import type { ObjectInfo } from './object-info.ts';

/** What is known of one version of ComfyUI and of common node packs. */
export interface Knowledge {
  /** Of ComfyUI; the oldest comes first. */
  readonly version: string;
  readonly info: ObjectInfo;
}

export interface KnowledgeFindings {
  /** Wrong on every version. */
  problems: string[];
  /** What only some versions mind, and what only an engine can tell. */
  notes: string[];
}

/**
 * Holds a workflow against what is known without an engine. A class that is not known counts as wrong only when its name
 * is close to one that is: others come from node packs. Model files are left alone: no two engines have the same.
 */
export function checkAgainstKnowledge(workflow: Workflow, known: readonly Knowledge[]): KnowledgeFindings {
  const foreign = new Set<string>();
  const found = new Map<string, { text: string; versions: string[] }>();
  for (const { version, info } of known) {
    for (const problem of checkAgainstEngine(workflow, info)) {
      if (problem.kind === 'model-missing') continue;
      if (problem.kind === 'node-missing' && nearest(problem.classType, info.keys()) === null) {
        foreign.add(problem.classType);
        continue;
      }
      const versions = [...(found.get(keyOf(problem))?.versions ?? []), version];
      // The newest version has the last word on what an input takes.
      found.set(keyOf(problem), { text: explainProblem(problem, workflow, info), versions });
    }
  }
  const everywhere = [...found.values()].filter(({ versions }) => versions.length === known.length);
  const somewhere = [...found.values()].filter(({ versions }) => versions.length < known.length);
  return {
    problems: everywhere.map(({ text }) => text),
    notes: [
      ...somewhere.map(({ text, versions }) => `on ComfyUI ${versions.join(', ')}: ${text}`),
      ...[...foreign].map(name => `the class ${name} is not known here: check it with --engine`),
    ],
  };
}

function keyOf(problem: WorkflowProblem): string {
  return problem.kind === 'input-invalid'
    ? JSON.stringify([problem.node, problem.input])
    : JSON.stringify(problem);
}
