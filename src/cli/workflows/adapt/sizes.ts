import { type Graph, type GraphNode, isLink, nodeLabel, nodeOf } from '../../../workflows/graph.ts';
import type { Target } from '../../../workflows/manifest.ts';
import { sortedIds } from '../ids.ts';
import { constantBehind, HEIGHT, WIDTH } from './constants.ts';
import { canvasOf } from './samplers.ts';

/** Where the size of a job is set. A width and a height may each be set at several nodes. */
export type SizeTargets =
  | { readonly width: Target | Target[]; readonly height: Target | Target[] }
  | { readonly megapixels: Target };

/** Scaling nodes that cannot produce a requested size, see `addSize`. */
const SCALERS: ReadonlySet<string> = new Set([
  'ImageScaleToTotalPixels',
  'FluxKontextImageScale',
  'ImageScaleToMaxDimension',
]);

/**
 * Where the size of each job is set: at the node nearest to the sampler that takes a width and a height, or at the
 * constants behind them, else at a node that takes megapixels. Null when the graph itself decides its size.
 */
export function sizeOf(graph: Graph): SizeTargets | null {
  const places = canvasOf(graph);
  for (const node of places) {
    const width = constantBehind(graph, { node, input: 'width' }, WIDTH);
    const height = constantBehind(graph, { node, input: 'height' }, HEIGHT);
    if (width === null || height === null || isZero(graph, width) || isZero(graph, height)) continue;
    if (width.node !== height.node || width.input !== height.input) return { width, height };
  }
  const scaler = places.find(id => typeof nodeOf(graph, id)?.inputs.megapixels === 'number');
  return scaler === undefined ? null : { megapixels: { node: scaler, input: 'megapixels' } };
}

/** A side of 0 tells a scaling node to keep the shape. */
function isZero(graph: Graph, { node, input }: Target): boolean {
  return nodeOf(graph, node)?.inputs[input] === 0;
}

/**
 * Makes a graph take the size of each job. ImageScaleToTotalPixels does not round to multiples before ComfyUI 0.5 and
 * FluxKontextImageScale has a fixed list of sizes, so the node that scales the image that sets the canvas becomes an
 * ImageScale; a graph that uses the image unscaled gets one; a width and a height that the graph computes are replaced
 * by constants. A graph that already takes a width and a height keeps its nodes, and one whose sampler starts from what
 * the encoder made keeps its own size.
 */
export function addSize(graph: Graph, changes: string[]): void {
  const size = sizeOf(graph);
  if (size !== null && 'width' in size) return;
  const canvas = canvasOf(graph).flatMap(id => {
    const node = nodeOf(graph, id);
    return node === undefined ? [] : [{ id, node }];
  });
  const scaler = canvas.find(({ node }) => SCALERS.has(node.class_type) && isLink(node.inputs.image));
  if (scaler !== undefined) {
    const { id, node } = scaler;
    changes.push(`${nodeLabel(graph, id)} is now an ImageScale, which takes the size of each job`);
    graph[id] = imageScale(node.inputs.image, node.inputs.upscale_method);
    return;
  }
  const sized = canvas.find(({ node }) =>
    ['width', 'height'].every(name => Object.hasOwn(node.inputs, name)),
  );
  if (sized !== undefined) {
    setConstants(graph, sized.id, changes);
    return;
  }
  const encoder = canvas.find(({ node }) => node.class_type === 'VAEEncode' && isLink(node.inputs.pixels));
  const source = encoder?.node.inputs.pixels;
  if (!isLink(source)) return;
  const numbers = sortedIds(graph).map(id => Number.parseInt(id, 10));
  const id = String(1 + Math.max(0, ...numbers.filter(Number.isSafeInteger)));
  for (const node of Object.values(graph)) {
    for (const [input, value] of Object.entries(node.inputs)) {
      if (isLink(value) && value[0] === source[0] && value[1] === source[1]) node.inputs[input] = [id, 0];
    }
  }
  graph[id] = imageScale(source);
  changes.push(
    `added node ${id} (ImageScale) after ${nodeLabel(graph, source[0])}: it takes the size of each job`,
  );
}

/** Sets a width and a height that are computed, or that one constant sets both of. */
function setConstants(graph: Graph, id: string, changes: string[]): void {
  const node = nodeOf(graph, id);
  if (node === undefined) return;
  Object.assign(node.inputs, { width: 1024, height: 1024 });
  changes.push(`${nodeLabel(graph, id)} now takes the size of each job instead of a computed one`);
}

/** A node that scales an image; the width and the height are set for each job. */
function imageScale(image: unknown, upscale_method: unknown = 'lanczos'): GraphNode {
  return {
    class_type: 'ImageScale',
    inputs: { image, upscale_method, width: 1024, height: 1024, crop: 'center' },
    _meta: { title: 'Scale to the working size' },
  };
}
