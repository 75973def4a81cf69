import { guessStage, USUAL_WEIGHTS } from '../../workflows/bind/plan.ts';
import { nodesOfSlot, orphansOfSlot } from '../../workflows/bind/slots.ts';
import type { ObjectInfo } from '../../workflows/check/object-info.ts';
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
import { CFG, constantBehind, SEED, STEPS, type Wanted } from './adapt/constants.ts';
import { type MaskPlace, maskOf } from './adapt/masks.ts';
import { negativeOf, positiveOf, promptOf, samplersOf, settingOf } from './adapt/samplers.ts';
import { type SizeTargets, sizeOf } from './adapt/sizes.ts';
import { sortedIds } from './ids.ts';

/**
 * Drafts a manifest from the usual nodes of a graph: a sampler with seed, steps and cfg, the prompts behind its
 * conditionings, LoadImage for the images (in the order in which the encoder takes them) and the mask, what sets the size. Its author
 * is expected to review it. `output` is the node whose images are the result; `info` tells which inputs are optional.
 * Fails with the parts that were not found.
 */
export function scaffoldManifest(
  name: string,
  graph: Graph,
  output: string,
  info: ObjectInfo,
): { ok: true; manifest: Manifest } | { ok: false; missing: string[] } {
  // A graph that is kept as it is may contain nodes that the result does not need.
  const needed = new Set(upstream(graph, [output]));
  const ids = sortedIds(graph).filter(id => needed.has(id));
  const samplers = samplersOf(graph).filter(id => needed.has(id));
  const [sampler] = samplers;
  const seeds = seedsOf(graph, samplers, ids);
  const prompt = sampler === undefined ? null : (promptOf(graph, sampler)?.constant ?? null);
  const mask = maskOf(graph, ids);
  const loaders = ids.filter(id => id !== mask?.target.node);
  const images = sampler === undefined ? [] : imagesOf(graph, loaders, positiveOf(graph, sampler));
  const [seed] = seeds;
  if (sampler === undefined || seed === undefined || prompt === null || images.length === 0) {
    const parts: [string, boolean][] = [
      ['a sampler with a positive conditioning or a guider', sampler !== undefined],
      ['a seed', seed !== undefined],
      ['a prompt behind the sampler', prompt !== null],
      ['LoadImage', images.length > 0],
    ];
    return { ok: false, missing: parts.filter(([, found]) => !found).map(([part]) => part) };
  }
  const negative = negativeOf(graph, sampler)?.constant ?? null;
  // One constant may set several inputs of a graph, but takes one field of a request.
  const taken = [...seeds];
  const free = (target: Target | null) => {
    if (target === null || taken.some(other => isSame(other, target))) return null;
    taken.push(target);
    return target;
  };
  const steps = free(settingOf(graph, sampler, ['steps'], STEPS));
  const cfg = free(settingOf(graph, sampler, ['cfg'], CFG));
  const size = withMask(sizeOf(graph), mask);
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
    ...(mask === null ? {} : { mask: { target: mask.target } }),
    inputs: {
      prompt,
      // A graph that uses one prompt for both sides has no input for a negative one.
      ...(negative === null || isSame(negative, prompt) ? {} : { negativePrompt: negative }),
      seed: seeds.length === 1 ? seed : seeds,
      ...(steps === null ? {} : { steps }),
      ...(cfg === null ? {} : { cfg }),
      ...size,
    },
    parameters: {
      steps: rangeAround(wholeNumber(numberAt(graph, steps) ?? 40), 1, 100),
      cfg: rangeAround(numberAt(graph, cfg) ?? 4, 1, 20),
      ...(size === null ? {} : { megapixels: { default: 1, minimum: 0.1, maximum: 4 } }),
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
  for (const image of manifest.images) {
    if (!image.required && isNeeded(manifest, graph, image.slot, info))
      Object.assign(image, { required: true, nodes: [] });
  }
  return { ok: true, manifest };
}

/** A mask is scaled to the size of each job, as image 1 is. */
function withMask(size: SizeTargets | null, mask: MaskPlace | null): SizeTargets | null {
  if (size === null || !('width' in size) || mask === null || mask.scalers.length === 0) return size;
  const also = (side: 'width' | 'height') => [
    ...listTargets(size[side]),
    ...mask.scalers.map(node => ({ node, input: side })),
  ];
  return { width: also('width'), height: also('height') };
}

/** The seeds of all samplers, so that one value decides the result; else the first seed of any node. */
function seedsOf(graph: Graph, samplers: readonly string[], ids: readonly string[]): Target[] {
  const names = ['seed', 'noise_seed'];
  const found = samplers.map(id => settingOf(graph, id, names, SEED)).filter(target => target !== null);
  const all = found.length > 0 ? found : [firstOf(graph, ids, names, SEED)].filter(target => target !== null);
  return all.filter((target, index) => all.findIndex(other => isSame(other, target)) === index);
}

function isSame(left: Target, right: Target): boolean {
  return left.node === right.node && left.input === right.input;
}

function firstOf(
  graph: Graph,
  ids: readonly string[],
  names: readonly string[],
  wanted: Wanted,
): Target | null {
  for (const node of ids) {
    for (const input of names) {
      const found = constantBehind(graph, { node, input }, wanted);
      if (found !== null) return found;
    }
  }
  return null;
}

/**
 * Whether a graph without the image of this slot would lack an input that it needs, or a node that a field of every
 * request sets, so that the image cannot be optional. Of an unknown class only an encoder is expected to do without one.
 */
function isNeeded(manifest: Manifest, graph: Graph, slot: number, info: ObjectInfo): boolean {
  const removed = nodesOfSlot(manifest, graph, slot);
  // Such as the scaler of the canvas, where that is not image 1.
  const fields = Object.values(manifest.inputs).flatMap(target => listTargets(target));
  if ([...fields, manifest.output].some(({ node }) => removed.has(node))) return true;
  return Object.entries(graph).some(([id, node]) => {
    if (removed.has(id)) return false;
    const inputs = info.get(node.class_type)?.inputs;
    return linksOf(node).some(
      ({ input, link }) =>
        removed.has(link[0]) &&
        (inputs?.get(input)?.required ??
          (inputs === undefined && !/Encode|QwenImage|Conditioning/.test(node.class_type))),
    );
  });
}

/** LoadImage nodes in the order of the encoder's image inputs, then any others; three at most. */
function imagesOf(graph: Graph, ids: readonly string[], positive: readonly string[]): string[] {
  const isLoader = (id: string) =>
    nodeOf(graph, id)?.class_type === 'LoadImage' && typeof nodeOf(graph, id)?.inputs.image === 'string';
  const imageLinks = (id: string) => linksOf(nodeOf(graph, id)).filter(({ input }) => /image/i.test(input));
  const encoded = positive.map(imageLinks).find(links => links.length > 0) ?? [];
  const named = encoded
    .sort((left, right) => left.input.localeCompare(right.input, 'en', { numeric: true }))
    .flatMap(({ link }) => upstream(graph, [link[0]]).filter(isLoader));
  return [...new Set([...named, ...ids.filter(isLoader)])].slice(0, 3);
}

/** The rules of the size that differ from the defaults. */
function sizeRules(graph: Graph, size: SizeTargets | null): ManifestInput['size'] {
  const [scaler] = listTargets(size !== null && 'megapixels' in size ? size.megapixels : undefined);
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

/** The next whole number upwards, within those that a parameter takes: larger ones are not exact. */
function wholeNumber(value: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER));
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
