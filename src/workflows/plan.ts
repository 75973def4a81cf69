import type { Graph } from './graph.ts';
import type { Manifest } from './manifest.ts';
import { resolveNode } from './resolve.ts';
import { guessStage, type Stage, usualWeight } from './stages.ts';

/** What each node of a bound graph counts for in a job's progress. */
export interface ProgressPlan {
  /** One entry a node. Weights are relative; one sampler step with guidance is 1. */
  nodes: Record<string, { stage: Stage; weight: number }>;
  /** The nodes whose steps are the caller's steps. */
  samplerNodes: string[];
}

/**
 * The plan of a bound graph. `whole` is the graph before absent pictures left it, in which the manifest's names are
 * looked up. With a guidance of 1 a step is one pass of the model instead of two, so it costs half (ComfyUI's
 * comfy/samplers.py).
 */
export function planProgress(
  manifest: Manifest,
  whole: Graph,
  bound: Graph,
  request: { steps: number; cfg: number; pictures: number },
): ProgressPlan {
  const rules = new Map<string, { stage: Stage; weight: number }>();
  for (const { stage, nodes, weight, perImage } of manifest.stages) {
    for (const reference of nodes) {
      const node = resolveNode(whole, reference);
      if (node.ok) rules.set(node.id, { stage, weight: weight + perImage * request.pictures });
    }
  }
  const stepCost = request.steps * (Math.abs(request.cfg - 1) < 1e-9 ? 0.5 : 1);
  const plan: ProgressPlan = { nodes: {}, samplerNodes: [] };
  for (const [id, node] of Object.entries(bound)) {
    const guessed = guessStage(node.class_type);
    const { stage, weight } = rules.get(id) ?? { stage: guessed, weight: usualWeight(guessed) };
    plan.nodes[id] = { stage, weight: stage === 'SAMPLING' ? weight * stepCost : weight };
    if (stage === 'SAMPLING') plan.samplerNodes.push(id);
  }
  return plan;
}
