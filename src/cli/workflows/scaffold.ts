import { guessStage, usualWeight } from '../../workflows/bind/plan.ts';
import { orphansOfSlot } from '../../workflows/bind/slots.ts';
import {
  type Graph,
  isLink,
  isModelFile,
  linksOf,
  modelFolder,
  nodeOf,
  upstream,
} from '../../workflows/graph.ts';
import {
  listTargets,
  type Manifest,
  type ManifestInput,
  manifestSchema,
  STAGES,
  type Target,
} from '../../workflows/manifest.ts';
import { canvasOf, hasSize, outputOf, sortedIds } from './exported.ts';

/** Where a usual graph takes what; the first that a graph has is meant. */
const TEXT_INPUTS = ['prompt', 'text'];
const SEED_INPUTS = ['seed', 'noise_seed'];

/** What keeps a graph from being given a manifest by guessing: it lacks these. */
export type Scaffolded = { ok: true; manifest: Manifest } | { ok: false; missing: string[] };

/**
 * A first manifest for a graph, from the nodes that are usual: a sampler with seed, steps and cfg, the prompts behind its
 * conditionings, LoadImage for the pictures (in the order in which the encoder takes them), a scaling node, SaveImage.
 * To be read over by its author. Fails with the parts that were not found.
 */
export function scaffoldManifest(name: string, graph: Graph): Scaffolded {
  const all = sortedIds(graph);
  const output = outputOf(graph);
  // What was left lying about beside the graph is not meant.
  const needed = new Set(output === null ? all : upstream(graph, [output]));
  const ids = all.filter(id => needed.has(id));
  const seed = firstOf(graph, ids, SEED_INPUTS, 'number');
  const conditioned = ids.find(id => isLink(nodeOf(graph, id)?.inputs.positive)) ?? null;
  const positive = behind(graph, ids, conditioned, ['positive', 'conditioning']);
  const prompt = textAmong(graph, positive);
  const pictures = picturesOf(graph, ids, positive);
  const size = sizeTargets(graph, ids);
  if (seed === null || output === null || prompt === null || pictures.length === 0 || size === null) {
    const parts: [string, boolean][] = [
      ['a sampler with a seed', seed !== null],
      ['a prompt behind the sampler', prompt !== null],
      ['LoadImage', pictures.length > 0],
      ['a node that takes width and height, or megapixels', size !== null],
      ['SaveImage', output !== null],
    ];
    return { ok: false, missing: parts.filter(([, found]) => !found).map(([part]) => part) };
  }
  const negative = textAmong(graph, behind(graph, ids, conditioned, ['negative']));
  const sampler = [...(conditioned === null ? [] : [conditioned]), ...ids];
  const steps = firstOf(graph, sampler, ['steps'], 'number');
  const cfg = firstOf(graph, sampler, ['cfg'], 'number');
  const draft: ManifestInput = {
    $schema: '../../schema/workflow.schema.json',
    name,
    title: name,
    preference: 100,
    images: pictures.map((node, index) => ({
      slot: index === 0 ? 1 : index === 1 ? 2 : 3,
      required: index === 0,
      target: { node, input: 'image' },
    })),
    inputs: {
      prompt,
      // A graph with one prompt for both sides has no place for a second.
      ...(negative === null || negative.node === prompt.node ? {} : { negativePrompt: negative }),
      seed,
      ...(steps === null ? {} : { steps }),
      ...(cfg === null ? {} : { cfg }),
      ...size,
    },
    parameters: {
      steps: around(numberAt(graph, steps) ?? 40, 1, 100),
      cfg: around(numberAt(graph, cfg) ?? 4, 1, 20),
      megapixels: { default: 1, minimum: 0.1, maximum: 4 },
    },
    size: sizeRules(graph, size),
    stages: STAGES.flatMap(stage => {
      const nodes = ids.filter(id => guessStage(nodeOf(graph, id)?.class_type ?? '') === stage);
      return nodes.length === 0 ? [] : [{ stage, nodes, weight: usualWeight(stage) }];
    }),
    requires: { models: modelsOf(graph) },
    output: { node: output },
  };
  const manifest = manifestSchema.parse(draft);
  for (const image of manifest.images) {
    if (!image.required) image.nodes = orphansOfSlot(manifest, graph, image.slot);
  }
  return { ok: true, manifest };
}

function constant(graph: Graph, id: string, names: readonly string[]): Target | null {
  const inputs = nodeOf(graph, id)?.inputs ?? {};
  const input = names.find(name => Object.hasOwn(inputs, name) && !isLink(inputs[name]));
  return input === undefined ? null : { node: id, input };
}

/** The input of the first node that has one of these names and can be set: its own, or that of a primitive behind it. */
function firstOf(
  graph: Graph,
  ids: readonly string[],
  names: readonly string[],
  type: 'number' | 'string',
): Target | null {
  for (const id of ids) {
    const found = constant(graph, id, names) ?? primitiveBehind(graph, id, names, type);
    if (found !== null) return found;
  }
  return null;
}

/** The only value of this type of the node that is linked to one of these inputs, as primitives and seed nodes have. */
function primitiveBehind(
  graph: Graph,
  id: string,
  names: readonly string[],
  type: 'number' | 'string',
): Target | null {
  const link = names.map(name => nodeOf(graph, id)?.inputs[name]).find(isLink);
  if (link === undefined) return null;
  const values = Object.entries(nodeOf(graph, link[0])?.inputs ?? {}).filter(
    ([, value]) => typeof value === type,
  );
  const [only, ...others] = values;
  return only === undefined || others.length > 0 ? null : { node: link[0], input: only[0] };
}

/** All that these inputs depend on, nearest first: those of `first` when it has one, else of the first node that does. */
function behind(
  graph: Graph,
  ids: readonly string[],
  first: string | null,
  inputs: readonly string[],
): string[] {
  for (const id of first === null ? ids : [first, ...ids]) {
    const links = inputs.map(input => nodeOf(graph, id)?.inputs[input]).filter(isLink);
    if (links.length > 0)
      return upstream(
        graph,
        links.map(([node]) => node),
      );
  }
  return [];
}

/** The first of these nodes with a prompt of its own, or one that a node with a text gives it. */
function textAmong(graph: Graph, ids: readonly string[]): Target | null {
  return firstOf(graph, ids, TEXT_INPUTS, 'string');
}

/** LoadImage nodes in the order of the encoder's image inputs, then any others; three at most. */
function picturesOf(graph: Graph, ids: readonly string[], positive: readonly string[]): string[] {
  const isPicture = (id: string) =>
    nodeOf(graph, id)?.class_type === 'LoadImage' && constant(graph, id, ['image']) !== null;
  const imageLinks = (id: string) => {
    const node = nodeOf(graph, id);
    return (node === undefined ? [] : linksOf(node)).filter(({ input }) => /^image/.test(input));
  };
  const encoder = positive.find(id => imageLinks(id).length > 0);
  const named = (encoder === undefined ? [] : imageLinks(encoder))
    .sort((left, right) => left.input.localeCompare(right.input, 'en', { numeric: true }))
    .flatMap(({ link }) => upstream(graph, [link[0]]).filter(isPicture));
  return [...new Set([...named, ...ids.filter(isPicture)])].slice(0, 3);
}

function sizeTargets(
  graph: Graph,
  ids: readonly string[],
): Pick<ManifestInput['inputs'], 'width' | 'height' | 'megapixels'> | null {
  const places = [...new Set([...canvasOf(graph), ...ids])];
  const node = places.find(id => hasSize(nodeOf(graph, id)));
  if (node !== undefined) return { width: { node, input: 'width' }, height: { node, input: 'height' } };
  const megapixels = places.find(id => constant(graph, id, ['megapixels']) !== null);
  return megapixels === undefined ? null : { megapixels: { node: megapixels, input: 'megapixels' } };
}

/** What the nodes of this graph want of the size, as far as it is not the default. */
function sizeRules(graph: Graph, { megapixels }: Pick<ManifestInput['inputs'], 'megapixels'>) {
  const [scaler] = listTargets(megapixels);
  if (scaler !== undefined) {
    const steps = nodeOf(graph, scaler.node)?.inputs.resolution_steps;
    return { multipleOf: typeof steps === 'number' ? steps : 1 };
  }
  // comfy_extras/nodes_qwen.py: the encoder brings its references to 1024 x 1024 pixels, in multiples of 8.
  const rescales = Object.values(graph).some(
    ({ class_type, inputs }) => /^TextEncodeQwenImageEdit(Plus)?$/.test(class_type) && isLink(inputs.vae),
  );
  return rescales ? { reference: { pixels: 1024 * 1024, multipleOf: 8 } } : {};
}

function numberAt(graph: Graph, target: Target | null): number | null {
  const value = target === null ? null : nodeOf(graph, target.node)?.inputs[target.input];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function around(value: number, minimum: number, maximum: number) {
  return { default: value, minimum: Math.min(value, minimum), maximum: Math.max(value, maximum) };
}

function modelsOf(graph: Graph): { folder: string; file: string }[] {
  const models = new Map<string, string>();
  for (const node of Object.values(graph)) {
    for (const [input, value] of Object.entries(node.inputs)) {
      if (isModelFile(value) && !models.has(value)) models.set(value, modelFolder(input));
    }
  }
  return [...models].map(([file, folder]) => ({ folder, file }));
}
