import { type Graph, isLink, linksOf, nodeOf } from './graph.ts';
import { type Manifest, type ManifestInput, manifestSchema, type Target } from './manifest.ts';
import { isModelFile, modelFolder } from './models.ts';
import { orphansOfSlot } from './slots.ts';
import { guessStage, STAGES, usualWeight } from './stages.ts';

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
  const ids = Object.keys(graph).sort((left, right) => left.localeCompare(right, 'en', { numeric: true }));
  const first = (test: (id: string) => boolean) => ids.find(test);
  const sampler = first(id => constant(graph, id, SEED_INPUTS) !== null);
  const output = first(id => constant(graph, id, ['filename_prefix']) !== null);
  const prompt =
    sampler === undefined ? null : upstreamText(graph, sampler, ['positive', 'guider', 'conditioning']);
  const seed = sampler === undefined ? null : constant(graph, sampler, SEED_INPUTS);
  const pictures = picturesOf(graph, ids, prompt?.node ?? null);
  const size = sizeTargets(graph, ids);
  if (seed === null || output === undefined || prompt === null || pictures.length === 0 || size === null) {
    const parts: [string, boolean][] = [
      ['a sampler with a seed', seed !== null],
      ['a prompt behind the sampler', prompt !== null],
      ['LoadImage', pictures.length > 0],
      ['a node that takes width and height, or megapixels', size !== null],
      ['SaveImage', output !== undefined],
    ];
    return { ok: false, missing: parts.filter(([, found]) => !found).map(([part]) => part) };
  }
  const negative = upstreamText(graph, seed.node, ['negative']);
  const steps = firstConstant(graph, ids, 'steps');
  const cfg = firstConstant(graph, ids, 'cfg');
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

function firstConstant(graph: Graph, ids: readonly string[], name: string): Target | null {
  const node = ids.find(id => constant(graph, id, [name]) !== null);
  return node === undefined ? null : { node, input: name };
}

/** The nearest node with a prompt that a chain of links leads to, beginning at one of these inputs. */
function upstreamText(graph: Graph, from: string, inputs: readonly string[]): Target | null {
  const starts = inputs.map(input => nodeOf(graph, from)?.inputs[input]).filter(isLink);
  for (const id of upstream(
    graph,
    starts.map(([node]) => node),
  )) {
    const found = constant(graph, id, TEXT_INPUTS);
    if (found !== null) return found;
  }
  return null;
}

/** These nodes and all that they depend on, nearest first. */
function upstream(graph: Graph, starts: readonly string[]): string[] {
  const reached = [...new Set(starts)];
  // The list grows while it is walked.
  for (const id of reached) {
    const node = nodeOf(graph, id);
    for (const { link } of node === undefined ? [] : linksOf(node)) {
      if (!reached.includes(link[0])) reached.push(link[0]);
    }
  }
  return reached;
}

/** LoadImage nodes in the order of the encoder's image inputs, then any others; three at most. */
function picturesOf(graph: Graph, ids: readonly string[], encoder: string | null): string[] {
  const isPicture = (id: string) =>
    nodeOf(graph, id)?.class_type === 'LoadImage' && constant(graph, id, ['image']) !== null;
  const node = encoder === null ? undefined : nodeOf(graph, encoder);
  const named = (node === undefined ? [] : linksOf(node))
    .filter(({ input }) => /^image/.test(input))
    .sort((left, right) => left.input.localeCompare(right.input, 'en', { numeric: true }))
    .flatMap(({ link }) => upstream(graph, [link[0]]).filter(isPicture));
  return [...new Set([...named, ...ids.filter(isPicture)])].slice(0, 3);
}

function sizeTargets(
  graph: Graph,
  ids: readonly string[],
): Pick<ManifestInput['inputs'], 'width' | 'height' | 'megapixels'> | null {
  const node = ids.find(
    id => constant(graph, id, ['width']) !== null && constant(graph, id, ['height']) !== null,
  );
  if (node !== undefined) return { width: { node, input: 'width' }, height: { node, input: 'height' } };
  const megapixels = firstConstant(graph, ids, 'megapixels');
  return megapixels === null ? null : { megapixels };
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
