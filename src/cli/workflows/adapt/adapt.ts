import { type Graph, nodeLabel, nodeOf, upstream } from '../../../workflows/graph.ts';
import { sortedIds } from '../ids.ts';
import { replaceLoaders, resolveSwitches } from './nodes.ts';
import { chooseOutput, type Output, saveImageAt } from './outputs.ts';
import { negativeOf, promptOf, samplersOf } from './samplers.ts';
import { addSize } from './sizes.ts';

export interface Adapted {
  readonly graph: Graph;
  /** The differences from the published graph, in words. */
  readonly changes: readonly string[];
  readonly output: Output;
  /** Other nodes that could be the output, in the published graph. */
  readonly others: readonly Output[];
}

/**
 * A copy of a published graph that takes the images, the prompt and the size of each job and ends in a SaveImage.
 * `output` names the node whose images are the result (an id, a title or a class); by default it is the one that the
 * last sampler's image reaches first. Nodes that the result does not need are removed: ComfyUI would run previews, and
 * reject a graph with a class that it lacks. Fails when nothing takes images, or a loader cannot take uploads.
 */
export function adaptGraph(
  given: Graph,
  wanted: string | null = null,
): ({ ok: true } & Adapted) | { ok: false; message: string } {
  const graph = structuredClone(given);
  const changes: string[] = [];
  const chosen = chooseOutput(graph, wanted);
  if (!chosen.ok) return chosen;
  const { output, others } = chosen;
  const removed: string[] = [];
  saveImageAt(graph, output, changes);
  const needed = removeUnneeded(graph, output.id, removed);
  resolveSwitches(graph, changes);
  removeUnneeded(graph, output.id, removed);
  const faults = replaceLoaders(graph, changes);
  if (faults.length > 0) return { ok: false, message: faults.join('; ') };
  setPrompts(graph, changes);
  addSize(graph, changes);
  removeUnneeded(graph, output.id, removed);
  if (removed.length > 0)
    changes.unshift(`removed, since the result does not need them: ${removed.join(', ')}`);
  addResolutionSteps(graph, changes);
  return { ok: true, graph, changes, output, others: others.filter(({ id }) => !needed.has(id)) };
}

/** Removes what the output does not depend on, and adds the labels of the removed nodes. Returns the ids of the others. */
function removeUnneeded(graph: Graph, output: string, removed: string[]): Set<string> {
  const needed = new Set(upstream(graph, [output]));
  const others = sortedIds(graph).filter(id => !needed.has(id));
  removed.push(...others.map(id => nodeLabel(graph, id)));
  for (const id of others) delete graph[id];
  return needed;
}

/** Replaces a prompt that the graph computes, from a caption or from angles of a camera, by a constant. */
function setPrompts(graph: Graph, changes: string[]): void {
  const [sampler] = samplersOf(graph);
  if (sampler === undefined) return;
  for (const prompt of [promptOf(graph, sampler), negativeOf(graph, sampler)]) {
    if (prompt === null || prompt.constant !== null) continue;
    const { node, input } = prompt.encoder;
    Object.assign(nodeOf(graph, node)?.inputs ?? {}, { [input]: '' });
    changes.push(`${nodeLabel(graph, node)} now takes ${input} from the request instead of a computed one`);
  }
}

/** ImageScaleToTotalPixels takes `resolution_steps`, which ComfyUI requires since 0.5 and ignores before. */
function addResolutionSteps(graph: Graph, changes: string[]): void {
  for (const [id, node] of Object.entries(graph)) {
    if (node.class_type !== 'ImageScaleToTotalPixels' || Object.hasOwn(node.inputs, 'resolution_steps'))
      continue;
    node.inputs.resolution_steps = 1;
    changes.push(`${nodeLabel(graph, id)} now has resolution_steps 1, which newer versions require`);
  }
}
