import { type Graph, resolveNode } from '../graph.ts';
import type { Manifest, Stage } from '../manifest.ts';

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

/** What a node costs that no manifest speaks of, in units of one sampler step with guidance. */
const USUAL_WEIGHTS: Record<Stage, number> = {
  LOADING: 0.05,
  ENCODING: 0.1,
  SAMPLING: 1,
  DECODING: 0.7,
  SAVING: 0.3,
};

const PATTERNS: readonly (readonly [RegExp, Stage])[] = [
  [/^(Save|Preview)/, 'SAVING'],
  [/Decode/, 'DECODING'],
  [/KSampler(?!Select)|^SamplerCustom/, 'SAMPLING'],
  [/LoadImage|Encode|Conditioning|ReferenceLatent|Image/, 'ENCODING'],
];

/**
 * The stage that a node class most likely belongs to, judged by its name; LOADING when the name says nothing, since
 * loaders and the nodes that patch a model take no time that a caller could see.
 */
export function guessStage(classType: string): Stage {
  // `NunchakuQwenImageDiTLoader` has an image in its name, yet it loads a model.
  if (/(Loader|LoaderModelOnly)/.test(classType)) return 'LOADING';
  return PATTERNS.find(([pattern]) => pattern.test(classType))?.[1] ?? 'LOADING';
}

/** The weight of a node of this stage when its manifest gives none; for SAMPLING the weight of one step. */
export function usualWeight(stage: Stage): number {
  return USUAL_WEIGHTS[stage];
}
