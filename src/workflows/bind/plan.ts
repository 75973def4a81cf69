import { type Graph, resolveNode } from '../graph.ts';
import type { Manifest, Stage } from '../manifest.ts';

/** How much each node of a bound graph counts in a job's progress. */
export interface ProgressPlan {
  /** One entry per node. Weights are relative; one sampler step with guidance is 1. */
  nodes: Record<string, { stage: Stage; weight: number }>;
  /** The nodes whose steps are the caller's steps. */
  samplerNodes: string[];
}

/** The weight of a node that no manifest names, where one sampler step with guidance is 1. For SAMPLING: of one step. */
export const USUAL_WEIGHTS: Record<Stage, number> = {
  LOADING: 0.05,
  ENCODING: 0.1,
  SAMPLING: 1,
  DECODING: 0.7,
  SAVING: 0.3,
};

const PATTERNS: readonly (readonly [RegExp, Stage])[] = [
  // First, since `NunchakuQwenImageDiTLoader` has an image in its name, yet loads a model.
  [/Loader/, 'LOADING'],
  [/^(Save|Preview)/, 'SAVING'],
  [/Decode/, 'DECODING'],
  [/KSampler(?!Select)|^SamplerCustom/, 'SAMPLING'],
  [/LoadImage|Encode|Conditioning|ReferenceLatent|Image/, 'ENCODING'],
];

/**
 * The plan of a bound graph. `whole` is the graph with the nodes of absent images, in which the manifest's names are
 * looked up. At a guidance of 1 a step is one pass of the model instead of two, so it costs half (ComfyUI's
 * comfy/samplers.py).
 */
export function planProgress(
  manifest: Manifest,
  whole: Graph,
  bound: Graph,
  request: { steps: number; cfg: number; images: number },
): ProgressPlan {
  const rules = new Map<string, { stage: Stage; weight: number }>();
  for (const { stage, nodes, weight, perImage } of manifest.stages) {
    for (const reference of nodes) {
      const node = resolveNode(whole, reference);
      if (node.ok) rules.set(node.id, { stage, weight: weight + perImage * request.images });
    }
  }
  const stepCost = request.steps * (Math.abs(request.cfg - 1) < 1e-9 ? 0.5 : 1);
  const plan: ProgressPlan = { nodes: {}, samplerNodes: [] };
  for (const [id, node] of Object.entries(bound)) {
    const guessed = guessStage(node.class_type);
    const { stage, weight } = rules.get(id) ?? { stage: guessed, weight: USUAL_WEIGHTS[guessed] };
    plan.nodes[id] = { stage, weight: stage === 'SAMPLING' ? weight * stepCost : weight };
    if (stage === 'SAMPLING') plan.samplerNodes.push(id);
  }
  return plan;
}

/**
 * The most likely stage of a node class, guessed from its name; LOADING when the name says nothing, since loaders and
 * nodes that patch a model take no noticeable time.
 */
export function guessStage(classType: string): Stage {
  return PATTERNS.find(([pattern]) => pattern.test(classType))?.[1] ?? 'LOADING';
}
