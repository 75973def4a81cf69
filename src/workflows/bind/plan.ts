import { type Graph, linksOf, resolveNode } from '../graph.ts';
import type { Manifest, Stage } from '../manifest.ts';
import type { Size } from './size.ts';

/** A node of a bound graph, with what its duration depends on. */
export interface PlanNode {
  readonly stage: Stage;
  readonly classType: string;
  /** Relative cost, for when nothing was measured; one sampler step with guidance is 1. */
  readonly weight: number;
  /** How much of the weight each image of the request adds. */
  readonly perImage: number;
  /** The nodes whose results it takes. */
  readonly needs: readonly string[];
}

/** What the durations of a run depend on, besides the workflow and the engine. */
export interface RunShape {
  readonly images: number;
  /** Of the output image. */
  readonly pixels: number;
  /** Patches that the model attends to in a step: those of the output and of every reference image. */
  readonly tokens: number;
  /** Passes of the model in a step: at a guidance of 1 one, else two (ComfyUI's comfy/samplers.py). */
  readonly passes: 1 | 2;
}

/** What a run will do, to tell how far it is. */
export interface ProgressPlan {
  /** One entry per node of the bound graph. */
  readonly nodes: Readonly<Record<string, PlanNode>>;
  /** The nodes whose steps are the caller's steps. */
  readonly samplerNodes: readonly string[];
  readonly shape: RunShape;
  readonly steps: number;
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

/** Pixels of a patch: 8 for the VAE, and 2 latent cells to a side (comfy/ldm/qwen_image/model.py). */
const TOKEN_PIXELS = 16 * 16;

/**
 * The plan of a bound graph. `whole` is the graph with the nodes of absent images, in which the manifest's names are
 * looked up. `images` are the sizes of the request's images.
 */
export function planProgress(
  manifest: Manifest,
  whole: Graph,
  bound: Graph,
  request: { steps: number; cfg: number; images: readonly Size[]; size: Size | null },
): ProgressPlan {
  const images = request.images.length;
  const rules = new Map<string, Pick<PlanNode, 'stage' | 'weight' | 'perImage'>>();
  for (const { stage, nodes, weight, perImage } of manifest.stages) {
    for (const reference of nodes) {
      const node = resolveNode(whole, reference);
      if (node.ok) rules.set(node.id, { stage, weight: weight + perImage * images, perImage });
    }
  }
  const passes = Math.abs(request.cfg - 1) < 1e-9 ? 1 : 2;
  const nodes: Record<string, PlanNode> = {};
  const samplerNodes: string[] = [];
  for (const [id, node] of Object.entries(bound)) {
    const classType = node.class_type;
    const guessed = guessStage(classType);
    const rule = rules.get(id) ?? { stage: guessed, weight: USUAL_WEIGHTS[guessed], perImage: 0 };
    const needs = [...new Set(linksOf(node).map(({ link }) => link[0]))];
    const weight = rule.stage === 'SAMPLING' ? (rule.weight * request.steps * passes) / 2 : rule.weight;
    nodes[id] = { ...rule, classType, weight, needs };
    if (rule.stage === 'SAMPLING') samplerNodes.push(id);
  }
  // Most graphs that set no size keep that of the first image.
  const output = request.size ?? request.images[0];
  const pixels = output === undefined ? 1 : output.width * output.height;
  const { reference } = manifest.size;
  const referencePixels = request.images
    .map(({ width, height }) => reference?.pixels ?? width * height)
    .reduce((sum, area) => sum + area, 0);
  const tokens = Math.max(1, Math.round((pixels + referencePixels) / TOKEN_PIXELS));
  return { nodes, samplerNodes, shape: { images, pixels, tokens, passes }, steps: request.steps };
}

/**
 * The most likely stage of a node class, guessed from its name; LOADING when the name says nothing, since loaders and
 * nodes that patch a model take no noticeable time.
 */
export function guessStage(classType: string): Stage {
  return PATTERNS.find(([pattern]) => pattern.test(classType))?.[1] ?? 'LOADING';
}
