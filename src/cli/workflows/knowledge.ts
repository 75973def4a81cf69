import { readFile } from 'node:fs/promises';
import { readNodeClasses } from '../../sandbox/nodes/object-info.ts';
import {
  checkAgainstEngine,
  describeProblem,
  problemKey,
  type WorkflowProblem,
} from '../../workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../../workflows/check/object-info.ts';
import { isModelFile, nodeLabel } from '../../workflows/graph.ts';
import { didYouMean, nearest } from '../../workflows/messages.ts';
import type { Workflow } from '../../workflows/workflow.ts';

/** The node classes of one version of ComfyUI and of common node packs. */
export interface Knowledge {
  readonly version: string;
  readonly info: ObjectInfo;
}

export interface Findings {
  problems: string[];
  /** What may be a problem, depending on the engine. */
  notes: string[];
}

/** The versions of ComfyUI that the sandbox describes, the oldest first. */
const VERSIONS = ['0.3.64', '0.8.0'] as const;

/** The node classes that the project knows: those of the sandbox, in two versions, and others that graphs often use. */
export async function shippedKnowledge(): Promise<Knowledge[]> {
  const file = new URL('./known-nodes.json', import.meta.url);
  const others = parseObjectInfo(JSON.parse(await readFile(file, 'utf8')));
  return VERSIONS.map(version => {
    const classes = readNodeClasses({ version, missingModels: [], missingNodes: [] });
    return { version, info: new Map([...others, ...parseObjectInfo(classes)]) };
  });
}

/**
 * Checks a workflow without an engine. What fails on every known version is a problem, what fails on some is a note. An
 * unknown class is a problem only when its name is close to a known one: others come from node packs. Model files are
 * not checked, since they differ between engines.
 */
export function checkAgainstKnowledge(workflow: Workflow, known: readonly Knowledge[]): Findings {
  const foreign = new Set<string>();
  const found = new Map<string, { text: string; versions: string[] }>();
  for (const { version, info } of known) {
    for (const problem of checkAgainstEngine(workflow, info)) {
      if (problem.kind === 'model-missing') continue;
      if (problem.kind === 'node-missing' && nearest(problem.classType, info.keys()) === null) {
        foreign.add(problem.classType);
        continue;
      }
      const key = problemKey(problem);
      const versions = [...(found.get(key)?.versions ?? []), version];
      // The text of the newest version wins.
      found.set(key, { text: explainProblem(problem, workflow, info), versions });
    }
  }
  const everywhere = [...found.values()].filter(({ versions }) => versions.length === known.length);
  const somewhere = [...found.values()].filter(({ versions }) => versions.length < known.length);
  return {
    problems: everywhere.map(({ text }) => text),
    notes: [
      ...somewhere.map(({ text, versions }) => `on ComfyUI ${versions.join(', ')}: ${text}`),
      ...[...foreign].map(name => `the class ${name} is unknown: check it with --engine`),
    ],
  };
}

/** A problem in words for the author of a workflow: where it is, what is wrong, and the nearest name that `info` has. */
export function explainProblem(problem: WorkflowProblem, workflow: Workflow, info: ObjectInfo): string {
  const { graph, manifest } = workflow;
  const said = `ComfyUI ${describeProblem(problem)}`;
  switch (problem.kind) {
    case 'node-missing': {
      const { classType } = problem;
      const nodes = Object.keys(graph).filter(id => graph[id]?.class_type === classType);
      const from = manifest.requires.nodes.find(entry => entry.class === classType)?.from;
      return `graph.json: node ${nodes.join(', ')}: ${said}${source(from)}${didYouMean(classType, info.keys())}`;
    }
    case 'model-missing': {
      const { file } = problem;
      const from = manifest.requires.models.find(entry => entry.file === file)?.from;
      return `${said}${source(from)}${didYouMean(file, filesOf(info))}`;
    }
    case 'input-invalid':
      return `graph.json: ${nodeLabel(graph, problem.node)}: input ${problem.input} ${problem.message}`;
    default:
      return problem satisfies never;
  }
}

/** ` (from …)`, or an empty string when the source is unknown. */
export function source(from: string | undefined): string {
  return from === undefined ? '' : ` (from ${from})`;
}

/** Every file of model weights that an engine lists. */
export function filesOf(info: ObjectInfo): Set<string> {
  const inputs = [...info.values()].flatMap(nodeClass => [...nodeClass.inputs.values()]);
  return new Set(inputs.flatMap(({ options }) => options ?? []).filter(isModelFile));
}
