import { readFile } from 'node:fs/promises';
import { readNodeClasses } from '../../sandbox/nodes/object-info.ts';
import { checkAgainstEngine, type WorkflowProblem } from '../../workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../../workflows/check/object-info.ts';
import { isModelFile, nodeLabel } from '../../workflows/graph.ts';
import { didYouMean, nearest } from '../../workflows/messages.ts';
import type { Workflow } from '../../workflows/workflow.ts';

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

const VERSIONS = ['0.3.64', '0.8.0'] as const;

/** The node classes that the project knows by itself: those of the sandbox, in two versions, and others that graphs use. */
export async function shippedKnowledge(): Promise<Knowledge[]> {
  const file = new URL('./known-nodes.json', import.meta.url);
  const others = parseObjectInfo(JSON.parse(await readFile(file, 'utf8')));
  return VERSIONS.map(version => {
    const classes = readNodeClasses({ version, missingModels: [], missingNodes: [] });
    return { version, info: new Map([...others, ...parseObjectInfo(classes)]) };
  });
}

/**
 * A problem in words for the author of a workflow: the file and the node, what is wrong, and the nearest name among
 * those that `info` has.
 */
export function explainProblem(problem: WorkflowProblem, workflow: Workflow, info: ObjectInfo): string {
  const { graph, manifest } = workflow;
  switch (problem.kind) {
    case 'node-missing': {
      const { classType } = problem;
      const nodes = Object.keys(graph).filter(id => graph[id]?.class_type === classType);
      const from = manifest.requires.nodes.find(entry => entry.class === classType)?.from;
      const source = from === undefined ? '' : ` (${from} has it)`;
      return `graph.json: node ${nodes.join(', ')}: there is no class "${classType}"${source}${didYouMean(classType, info.keys())}`;
    }
    case 'model-missing': {
      const { file, folder } = problem;
      const from = manifest.requires.models.find(entry => entry.file === file)?.from;
      const source = from === undefined ? '' : ` (from ${from})`;
      return `the file ${file} is missing; it belongs in models/${folder}${source}${didYouMean(file, filesOf(info))}`;
    }
    case 'input-invalid':
      return `graph.json: ${nodeLabel(graph, problem.node)}: input ${problem.input} ${problem.message}`;
    default:
      return problem satisfies never;
  }
}

/** Every file of model weights that an engine lists. */
export function filesOf(info: ObjectInfo): Set<string> {
  const files = new Set<string>();
  for (const { inputs } of info.values()) {
    for (const { options } of inputs.values()) {
      for (const option of options ?? []) if (isModelFile(option)) files.add(option);
    }
  }
  return files;
}
