import { guessStage, USUAL_WEIGHTS } from '../../workflows/bind/plan.ts';
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

/**
 * Drafts a manifest from the usual nodes of a graph: a sampler with seed, steps and cfg, the prompts behind its
 * conditionings, LoadImage for the images (in the order in which the encoder takes them), a scaling node, SaveImage. Its
 * author is expected to review it. Fails with the parts that were not found.
 */
export function scaffoldManifest(
  name: string,
  graph: Graph,
): { ok: true; manifest: Manifest } | { ok: false; missing: string[] } {
  const all = sortedIds(graph);
  const output = outputOf(graph);
  // Exports often contain nodes that the result does not need.
  const needed = new Set(output === null ? all : upstream(graph, [output]));
  const ids = all.filter(id => needed.has(id));
  const seed = firstOf(graph, ids, ['seed', 'noise_seed'], 'number');
  const conditioned = ids.filter(id => isLink(nodeOf(graph, id)?.inputs.positive)).slice(0, 1);
  const samplers = [...conditioned, ...ids];
  const positive = behind(graph, samplers, ['positive', 'conditioning']);
  const prompt = promptAmong(graph, positive);
  const images = imagesOf(graph, ids, positive);
  const size = sizeTargets(graph, ids);
  if (seed === null || output === null || prompt === null || images.length === 0 || size === null) {
    const parts: [string, boolean][] = [
      ['a sampler with a seed', seed !== null],
      ['a prompt behind the sampler', prompt !== null],
      ['LoadImage', images.length > 0],
      ['a node that takes width and height, or megapixels', size !== null],
      ['SaveImage', output !== null],
    ];
    return { ok: false, missing: parts.filter(([, found]) => !found).map(([part]) => part) };
  }
  const negative = promptAmong(graph, behind(graph, samplers, ['negative']));
  const steps = firstOf(graph, samplers, ['steps'], 'number');
  const cfg = firstOf(graph, samplers, ['cfg'], 'number');
  const draft: ManifestInput = {
    $schema: '../../schema/workflow.schema.json',
    name,
    title: name,
    preference: 100,
    images: images.map((node, index) => ({
      slot: index === 0 ? 1 : index === 1 ? 2 : 3,
      required: index === 0,
      target: { node, input: 'image' },
    })),
    inputs: {
      prompt,
      // A graph that uses one prompt for both sides has no input for a negative one.
      ...(negative === null || negative.node === prompt.node ? {} : { negativePrompt: negative }),
      seed,
      ...(steps === null ? {} : { steps }),
      ...(cfg === null ? {} : { cfg }),
      ...size,
    },
    parameters: {
      steps: rangeAround(numberAt(graph, steps) ?? 40, 1, 100),
      cfg: rangeAround(numberAt(graph, cfg) ?? 4, 1, 20),
      megapixels: { default: 1, minimum: 0.1, maximum: 4 },
    },
    size: sizeRules(graph, size),
    stages: STAGES.flatMap(stage => {
      const nodes = ids.filter(id => guessStage(nodeOf(graph, id)?.class_type ?? '') === stage);
      return nodes.length === 0 ? [] : [{ stage, nodes, weight: USUAL_WEIGHTS[stage] }];
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

type ConstantType = 'number' | 'string';

/** The input of the first node that has one of these names and holds a constant, or that of the primitive behind it. */
function firstOf(
  graph: Graph,
  ids: readonly string[],
  names: readonly string[],
  type: ConstantType,
): Target | null {
  for (const id of ids) {
    const found = constant(graph, id, names) ?? primitiveBehind(graph, id, names, type);
    if (found !== null) return found;
  }
  return null;
}

function constant(graph: Graph, id: string, names: readonly string[]): Target | null {
  const inputs = nodeOf(graph, id)?.inputs ?? {};
  const input = names.find(name => Object.hasOwn(inputs, name) && !isLink(inputs[name]));
  return input === undefined ? null : { node: id, input };
}

/** The only constant of this type on the node that is linked to one of these inputs, as primitives and seed nodes have. */
function primitiveBehind(
  graph: Graph,
  id: string,
  names: readonly string[],
  type: ConstantType,
): Target | null {
  const link = names.map(name => nodeOf(graph, id)?.inputs[name]).find(isLink);
  if (link === undefined) return null;
  const inputs = Object.entries(nodeOf(graph, link[0])?.inputs ?? {});
  const [only, ...others] = inputs.filter(([, value]) => typeof value === type);
  return only === undefined || others.length > 0 ? null : { node: link[0], input: only[0] };
}

/** Everything upstream of these inputs, nearest first, for the first node that links one of them. */
function behind(graph: Graph, ids: readonly string[], inputs: readonly string[]): string[] {
  const links = ids.map(id => inputs.map(input => nodeOf(graph, id)?.inputs[input]).filter(isLink));
  const starts = links.find(found => found.length > 0) ?? [];
  return upstream(
    graph,
    starts.map(([node]) => node),
  );
}

function promptAmong(graph: Graph, ids: readonly string[]): Target | null {
  return firstOf(graph, ids, ['prompt', 'text'], 'string');
}

/** LoadImage nodes in the order of the encoder's image inputs, then any others; three at most. */
function imagesOf(graph: Graph, ids: readonly string[], positive: readonly string[]): string[] {
  const isLoader = (id: string) =>
    nodeOf(graph, id)?.class_type === 'LoadImage' && constant(graph, id, ['image']) !== null;
  const imageLinks = (id: string) =>
    linksOf(nodeOf(graph, id)).filter(({ input }) => input.startsWith('image'));
  const encoded = positive.map(imageLinks).find(links => links.length > 0) ?? [];
  const named = encoded
    .sort((left, right) => left.input.localeCompare(right.input, 'en', { numeric: true }))
    .flatMap(({ link }) => upstream(graph, [link[0]]).filter(isLoader));
  return [...new Set([...named, ...ids.filter(isLoader)])].slice(0, 3);
}

type SizeTargets = Pick<ManifestInput['inputs'], 'width' | 'height' | 'megapixels'>;

function sizeTargets(graph: Graph, ids: readonly string[]): SizeTargets | null {
  const places = [...new Set([...canvasOf(graph), ...ids])];
  const node = places.find(id => hasSize(nodeOf(graph, id)));
  if (node !== undefined) return { width: { node, input: 'width' }, height: { node, input: 'height' } };
  const scaler = places.find(id => constant(graph, id, ['megapixels']) !== null);
  return scaler === undefined ? null : { megapixels: { node: scaler, input: 'megapixels' } };
}

/** The rules of the size that differ from the defaults. */
function sizeRules(graph: Graph, { megapixels }: SizeTargets): ManifestInput['size'] {
  const [scaler] = listTargets(megapixels);
  if (scaler !== undefined) {
    const steps = nodeOf(graph, scaler.node)?.inputs.resolution_steps;
    return { multipleOf: typeof steps === 'number' ? steps : 1 };
  }
  // comfy_extras/nodes_qwen.py: the encoder scales its references to 1024 x 1024 pixels, in multiples of 8.
  const rescales = Object.values(graph).some(
    ({ class_type, inputs }) => /^TextEncodeQwenImageEdit(Plus)?$/.test(class_type) && isLink(inputs.vae),
  );
  return rescales ? { reference: { pixels: 1024 * 1024, multipleOf: 8 } } : {};
}

function numberAt(graph: Graph, target: Target | null): number | null {
  const value = target === null ? null : nodeOf(graph, target.node)?.inputs[target.input];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function rangeAround(value: number, minimum: number, maximum: number) {
  return { default: value, minimum: Math.min(value, minimum), maximum: Math.max(value, maximum) };
}

function modelsOf(graph: Graph): { folder: string; file: string }[] {
  const models = new Map<string, string>();
  for (const [input, value] of Object.values(graph).flatMap(({ inputs }) => Object.entries(inputs))) {
    if (isModelFile(value) && !models.has(value)) models.set(value, modelFolder(input));
  }
  return [...models].map(([file, folder]) => ({ folder, file }));
}
