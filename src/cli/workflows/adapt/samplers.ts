import { type Graph, isLink, linksOf, nodeOf, upstream } from '../../../workflows/graph.ts';
import type { Target } from '../../../workflows/manifest.ts';
import { sortedIds } from '../ids.ts';
import { constantBehind, TEXT, type Wanted } from './constants.ts';

/** The inputs by which samplers take the latent image that sets the canvas. */
const LATENTS = ['latent_image', 'latent', 'optional_latent', 'samples'] as const;

/** The inputs that lead a sampler to the parts that others have built in. */
const PARTS = ['noise', 'guider', 'sigmas', 'options', 'sampler'] as const;

/** The inputs by which encoders of text take it, the usual first. */
const PROMPTS = [
  'prompt',
  'text',
  'instruction',
  'positive',
  'positive_prompt',
  'edit_prompt',
  'text_positive',
];
const OTHER_PROMPTS = /prompt|instruction/i;
const NOT_PROMPTS = /negative|system|assistant|template|mode|prefix|suffix/i;
const NEGATIVES = ['negative_prompt', 'negative', 'text_negative'];

/** The samplers of a graph in the order in which they run: one comes after all that it depends on. */
export function samplersOf(graph: Graph): string[] {
  const samplers = sortedIds(graph).filter(id => isSampler(graph, id));
  const isOne = new Set(samplers);
  const before = new Map(
    samplers.map(id => [id, upstream(graph, [id]).filter(other => isOne.has(other)).length]),
  );
  return samplers.toSorted((left, right) => (before.get(left) ?? 0) - (before.get(right) ?? 0));
}

function isSampler(graph: Graph, id: string): boolean {
  const node = nodeOf(graph, id);
  if (node === undefined || /KSamplerSelect|Upscale/.test(node.class_type)) return false;
  const links = linksOf(node).map(({ input }) => input);
  const conditioned = links.includes('positive') || links.includes('guider');
  const seeded = ['seed', 'noise_seed', 'noise', 'latent_image', 'sigmas'].some(name =>
    Object.hasOwn(node.inputs, name),
  );
  return conditioned && seeded;
}

/** The nodes that decide the size of the canvas, nearest to the first sampler first; empty when there is none. */
export function canvasOf(graph: Graph): string[] {
  const [sampler] = samplersOf(graph);
  const inputs = sampler === undefined ? {} : (nodeOf(graph, sampler)?.inputs ?? {});
  const latents = LATENTS.map(name => inputs[name]).filter(isLink);
  return upstream(
    graph,
    latents.map(([node]) => node),
  );
}

/** Where a number of a sampler is set: on itself, on one of its parts, or on what these take it from. */
export function settingOf(
  graph: Graph,
  sampler: string,
  names: readonly string[],
  wanted: Wanted,
): Target | null {
  const inputs = nodeOf(graph, sampler)?.inputs ?? {};
  const parts = PARTS.map(name => inputs[name]).filter(isLink);
  const nodes = [
    sampler,
    ...upstream(
      graph,
      parts.map(([node]) => node),
    ),
  ];
  for (const node of nodes) {
    for (const input of names) {
      const found = constantBehind(graph, { node, input }, wanted);
      if (found !== null) return found;
    }
  }
  return null;
}

export interface Prompt {
  /** The input of the encoder. */
  readonly encoder: Target;
  /** The constant that sets it; null when the graph computes the text. */
  readonly constant: Target | null;
}

/** The nodes behind the positive conditioning of a sampler, nearest first. */
export function positiveOf(graph: Graph, sampler: string): string[] {
  return behind(graph, sampler, ['positive', 'guider'], ['positive', 'conditioning']);
}

/** The text of the positive conditioning. */
export function promptOf(graph: Graph, sampler: string): Prompt | null {
  return textAmong(graph, positiveOf(graph, sampler), PROMPTS);
}

/** The text of the negative conditioning; null when it has none of its own, or has no effect because it is zeroed. */
export function negativeOf(graph: Graph, sampler: string): Prompt | null {
  const nodes = behind(graph, sampler, ['negative', 'guider'], ['negative']);
  const [first] = nodes;
  const positives = positiveOf(graph, sampler);
  // An encoder of both sides has an input for each.
  if (first !== undefined && first === positives[0]) return textAmong(graph, [first], NEGATIVES);
  return textAmong(graph, nodes, PROMPTS);
}

/** What is behind an input of the sampler, or behind one of its guider; nothing behind a conditioning that is zeroed. */
function behind(
  graph: Graph,
  sampler: string,
  direct: readonly string[],
  guider: readonly string[],
): string[] {
  const inputs = nodeOf(graph, sampler)?.inputs ?? {};
  const own = inputs[direct[0] ?? ''];
  const guiding = inputs.guider;
  const link = isLink(own)
    ? own
    : isLink(guiding)
      ? guider.map(name => nodeOf(graph, guiding[0])?.inputs[name]).find(isLink)
      : undefined;
  if (link === undefined) return [];
  const reached = new Set([link[0]]);
  for (const id of reached) {
    const node = nodeOf(graph, id);
    if (node?.class_type === 'ConditioningZeroOut') continue;
    for (const { input, link: from } of linksOf(node)) {
      // A node that changes both sides hands each of them on.
      if (direct[0] === 'negative' ? input === 'positive' : input === 'negative') continue;
      reached.add(from[0]);
    }
  }
  return [...reached];
}

function textAmong(graph: Graph, ids: readonly string[], names: readonly string[]): Prompt | null {
  for (const node of ids) {
    const inputs = nodeOf(graph, node)?.inputs ?? {};
    const others = Object.keys(inputs).filter(name => OTHER_PROMPTS.test(name) && !NOT_PROMPTS.test(name));
    const input = [...names, ...(names === PROMPTS ? others : [])].find(
      name => Object.hasOwn(inputs, name) && isText(graph, inputs[name]),
    );
    if (input === undefined) continue;
    const encoder = { node, input };
    return { encoder, constant: constantBehind(graph, encoder, TEXT) };
  }
  return null;
}

/** Whether an input takes a text: a constant, or a link to a node that is no conditioning. */
function isText(graph: Graph, value: unknown): boolean {
  if (typeof value === 'string') return true;
  return (
    isLink(value) &&
    !/Encode|Conditioning|ControlNet|ReferenceLatent|Guid/.test(nodeOf(graph, value[0])?.class_type ?? '')
  );
}
