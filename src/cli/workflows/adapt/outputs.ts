import {
  type Graph,
  isLink,
  type Link,
  linksOf,
  nodeLabel,
  nodeOf,
  resolveNode,
  upstream,
} from '../../../workflows/graph.ts';
import { didYouMean } from '../../../workflows/messages.ts';
import { sortedIds } from '../ids.ts';
import { samplersOf } from './samplers.ts';

/** A node that can be the output of a workflow: it takes images and nothing takes anything from it, or it saves files. */
export interface Output {
  readonly id: string;
  /** Where its images come from. */
  readonly images: Link;
}

/** Inputs by which outputs take images. */
const IMAGES = /^(images?|image_[ab12]|img|pixels|input_image|video_?frames)$/i;

/** Kinds of outputs, the most likely result first. */
const KINDS: readonly RegExp[] = [
  /^SaveImage$/,
  /save|output|export/i,
  /websocket|send|return|upload/i,
  /preview|show|display/i,
];

const COMPARES = /compar/i;

/** Every node that can be the output, the most likely one first. */
export function outputsOf(graph: Graph): Output[] {
  const used = new Set(Object.values(graph).flatMap(node => linksOf(node).map(({ link }) => link[0])));
  const samplers = samplersOf(graph);
  const last = samplers.at(-1);
  const ranked = sortedIds(graph).flatMap(id => {
    const node = nodeOf(graph, id);
    const saves =
      /save/i.test(node?.class_type ?? '') || Object.hasOwn(node?.inputs ?? {}, 'filename_prefix');
    if (
      node === undefined ||
      (used.has(id) && !saves) ||
      /Latent|Mask|Text|Audio|Video/.test(node.class_type)
    )
      return [];
    const links = linksOf(node).filter(({ input }) => IMAGES.test(input));
    const sampled = links.filter(
      ({ link }) => last === undefined || upstream(graph, [link[0]]).includes(last),
    );
    const images = (sampled[0] ?? links[0])?.link;
    if (images === undefined) return [];
    return [
      { id, images, rank: [sampled.length > 0 ? 0 : 1, kindOf(node.class_type), distance(graph, images[0])] },
    ];
  });
  return ranked
    .toSorted((left, right) => compare(left.rank, right.rank))
    .map(({ id, images }) => ({ id, images }));
}

function kindOf(classType: string): number {
  if (COMPARES.test(classType)) return KINDS.length + 1;
  const index = KINDS.findIndex(pattern => pattern.test(classType));
  return index === -1 ? KINDS.length : index;
}

/** How many nodes lie between an output and the decoder of the latent image. */
function distance(graph: Graph, start: string): number {
  const index = upstream(graph, [start]).findIndex(id => /Decode/.test(nodeOf(graph, id)?.class_type ?? ''));
  return index === -1 ? Number.MAX_SAFE_INTEGER : index;
}

function compare(left: readonly number[], right: readonly number[]): number {
  const index = left.findIndex((value, position) => value !== right[position]);
  return index === -1 ? 0 : (left[index] ?? 0) - (right[index] ?? 0);
}

/** The output of a graph: the wanted node (an id, a title or a class), else the most likely one. */
export function chooseOutput(
  graph: Graph,
  wanted: string | null,
): { ok: true; output: Output; others: Output[] } | { ok: false; message: string } {
  const outputs = outputsOf(graph);
  const labels = outputs.map(({ id }) => nodeLabel(graph, id)).join(', ');
  if (wanted !== null) {
    const node = resolveNode(graph, wanted);
    const output = node.ok ? outputs.find(({ id }) => id === node.id) : undefined;
    if (output !== undefined) return { ok: true, output, others: [] };
    const hint = labels === '' ? 'there is none' : labels;
    return {
      ok: false,
      message: `--output: got "${wanted}"; takes a node that takes images and ends the graph: ${hint}${didYouMean(
        wanted,
        outputs.map(({ id }) => id),
      )}`,
    };
  }
  const [output, ...others] = outputs;
  if (output !== undefined) return { ok: true, output, others };
  return { ok: false, message: 'a node that saves an image, such as SaveImage' };
}

/**
 * Makes an output a SaveImage, which every engine has and whose files `/history` lists; savers of node packs have other
 * inputs, and previews are of type `temp`.
 */
export function saveImageAt(graph: Graph, { id, images }: Output, changes: string[]): void {
  const node = nodeOf(graph, id);
  const prefix = node?.inputs.filename_prefix;
  if (node?.class_type === 'SaveImage' && isLink(node.inputs.images) && typeof prefix === 'string') return;
  if (node?.class_type === 'SaveImage') changes.push(`${nodeLabel(graph, id)} now has a prefix of its own`);
  else changes.push(`${nodeLabel(graph, id)} is now a SaveImage`);
  graph[id] = {
    class_type: 'SaveImage',
    inputs: { images, filename_prefix: 'QwenEdit' },
    ...(node?._meta === undefined ? {} : { _meta: node._meta }),
  };
}
