/** The stages of a run, in the order in which a graph passes through them. */
export const STAGES = ['LOADING', 'ENCODING', 'SAMPLING', 'DECODING', 'SAVING'] as const;

export type Stage = (typeof STAGES)[number];

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
