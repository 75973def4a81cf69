import type { WorkflowProblem } from './check-engine.ts';
import { nodeLabel } from './graph.ts';
import type { Workflow } from './load.ts';
import { isModelFile } from './models.ts';
import { didYouMean } from './nearest.ts';
import type { ObjectInfo } from './object-info.ts';

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
