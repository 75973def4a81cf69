import { z } from 'zod';
import {
  type Graph,
  type GraphNode,
  graphSchema,
  isLink,
  nodeLabel,
  nodeOf,
  upstream,
} from '../../workflows/graph.ts';

export interface Adapted {
  graph: Graph;
  /** What differs from the graph as it came, in words. */
  changes: string[];
}

/** What ImageScale takes besides the picture and the size; the size is filled in for each job. */
const SCALE = { upscale_method: 'lanczos', width: 1024, height: 1024, crop: 'center' } as const;

/**
 * A copy of a published graph with a place for the size of each job: what scales the picture that sets the canvas
 * becomes an ImageScale, and a graph that works on the picture as it comes gets one. ImageScaleToTotalPixels keeps no
 * multiple of its own before ComfyUI 0.5, and FluxKontextImageScale has a fixed list of sizes, so that neither can give
 * the size that was asked for. A graph with a width and a height already is left as it is. The input `resolution_steps`,
 * which newer versions of ComfyUI require of ImageScaleToTotalPixels and older ones ignore, is added where it lacks.
 * Nodes that the result does not need are left out: ComfyUI would run previews, and refuse classes that it lacks.
 */
export function adaptGraph(given: Graph): Adapted {
  const graph = structuredClone(given);
  const changes: string[] = [];
  leaveOut(graph, changes);
  giveSize(graph, changes);
  for (const [id, node] of Object.entries(graph)) {
    if (node.class_type !== 'ImageScaleToTotalPixels' || Object.hasOwn(node.inputs, 'resolution_steps'))
      continue;
    node.inputs.resolution_steps = 1;
    changes.push(
      `${nodeLabel(graph, id)} has resolution_steps 1 now, without which newer versions refuse it`,
    );
  }
  return { graph, changes };
}

/** The nodes that decide the size of the canvas, nearest to the sampler first; empty when no sampler has a canvas. */
export function canvasOf(graph: Graph): string[] {
  const starts = Object.values(graph).flatMap(({ inputs }) =>
    isLink(inputs.latent_image) ? [inputs.latent_image[0]] : [],
  );
  return upstream(graph, starts);
}

/** Whether a node has a width and a height that are values. */
export function hasSize(node: GraphNode | undefined): boolean {
  const isValue = (name: string) =>
    node !== undefined && Object.hasOwn(node.inputs, name) && !isLink(node.inputs[name]);
  return isValue('width') && isValue('height');
}

/** The node whose result is meant: the first SaveImage, else the first that takes a prefix for the name of its file. */
export function outputOf(graph: Graph): string | null {
  const saving = sortedIds(graph).filter(id => {
    const prefix = nodeOf(graph, id)?.inputs.filename_prefix;
    return prefix !== undefined && !isLink(prefix);
  });
  return saving.find(id => nodeOf(graph, id)?.class_type === 'SaveImage') ?? saving[0] ?? null;
}

/** The ids of a graph, numbers by their value. */
export function sortedIds(graph: Graph): string[] {
  return Object.keys(graph).sort((left, right) => left.localeCompare(right, 'en', { numeric: true }));
}

function leaveOut(graph: Graph, changes: string[]): void {
  const output = outputOf(graph);
  if (output === null) return;
  const needed = new Set(upstream(graph, [output]));
  const others = sortedIds(graph).filter(id => !needed.has(id));
  if (others.length === 0) return;
  const labels = others.map(id => nodeLabel(graph, id));
  for (const id of others) delete graph[id];
  changes.push(`left out, since the result does not need them: ${labels.join(', ')}`);
}

function giveSize(graph: Graph, changes: string[]): void {
  const canvas = canvasOf(graph).flatMap(id => {
    const node = nodeOf(graph, id);
    return node === undefined ? [] : [{ id, node }];
  });
  if (canvas.some(({ node }) => hasSize(node))) return;
  const scaler = canvas.find(({ node }) =>
    ['ImageScaleToTotalPixels', 'FluxKontextImageScale'].includes(node.class_type),
  );
  if (scaler !== undefined) {
    const { id, node } = scaler;
    const before = nodeLabel(graph, id);
    const { image, upscale_method = SCALE.upscale_method } = node.inputs;
    graph[id] = imageScale(image, { upscale_method });
    changes.push(`${before} is an ImageScale now, which takes the size of each job`);
    return;
  }
  const encoder = canvas.find(({ node }) => node.class_type === 'VAEEncode' && isLink(node.inputs.pixels));
  const source = encoder?.node.inputs.pixels;
  if (!isLink(source)) return;
  const id = freeId(graph);
  for (const node of Object.values(graph)) {
    for (const [input, value] of Object.entries(node.inputs)) {
      if (isLink(value) && value[0] === source[0] && value[1] === source[1]) node.inputs[input] = [id, 0];
    }
  }
  graph[id] = imageScale(source);
  changes.push(
    `node ${id} (ImageScale) is new, after ${nodeLabel(graph, source[0])}: it takes the size of each job`,
  );
}

function imageScale(image: unknown, changes: Record<string, unknown> = {}): GraphNode {
  return {
    class_type: 'ImageScale',
    inputs: { image, ...SCALE, ...changes },
    _meta: { title: 'Scale to the working size' },
  };
}

function freeId(graph: Graph): string {
  const numbers = Object.keys(graph).map(id => Number.parseInt(id, 10));
  return String(1 + Math.max(0, ...numbers.filter(Number.isSafeInteger)));
}

export type Published = { ok: true; graph: Graph } | { ok: false; message: string };

/** Where a graph lies in files that wrap it: the body of POST /prompt, and the requests of common hosted workers. */
const WRAPPERS: readonly (readonly string[])[] = [
  [],
  ['prompt'],
  ['workflow'],
  ['input', 'workflow'],
  ['input', 'prompt'],
];

const editorFormat = z.looseObject({ nodes: z.array(z.unknown()), links: z.array(z.unknown()) });

/**
 * Finds the graph in API format in a file as people publish them. `message` says what it is instead, or which node is
 * none.
 */
export function readPublishedGraph(json: unknown): Published {
  const found = WRAPPERS.map(path => at(json, path));
  for (const value of found) {
    const graph = graphSchema.safeParse(value);
    if (graph.success && Object.keys(graph.data).length > 0) return { ok: true, graph: graph.data };
  }
  if (found.some(value => editorFormat.safeParse(value).success)) {
    return {
      ok: false,
      message:
        'is in the editor’s own format; takes the API format: open it in ComfyUI and choose "Export (API)"',
    };
  }
  const entries =
    typeof json === 'object' && json !== null && !Array.isArray(json) ? Object.entries(json) : [];
  const isNode = (value: unknown) => graphSchema.safeParse({ node: value }).success;
  const strange = entries.find(([, value]) => !isNode(value));
  const some = entries.some(([, value]) => isNode(value));
  const where = some && strange !== undefined ? `: "${strange[0]}" is no node` : '';
  return {
    ok: false,
    message: `is no graph in API format${where}; takes {"<id>": {"class_type": …, "inputs": {…}}}`,
  };
}

function at(value: unknown, path: readonly string[]): unknown {
  let here = value;
  for (const key of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined;
    here = Reflect.get(here, key);
  }
  return here;
}
