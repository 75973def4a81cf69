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

/** What `schema` describes, bare or wrapped as in the body of POST /prompt and the requests of common hosted workers. */
function wrapped<T>(schema: z.ZodType<T>) {
  return z.union([
    schema,
    z.object({ prompt: schema }).transform(({ prompt }) => prompt),
    z.object({ workflow: schema }).transform(({ workflow }) => workflow),
    z.object({ input: z.object({ workflow: schema }) }).transform(({ input }) => input.workflow),
    z.object({ input: z.object({ prompt: schema }) }).transform(({ input }) => input.prompt),
  ]);
}

const publishedGraph = wrapped(graphSchema.refine(graph => Object.keys(graph).length > 0));
const editorFormat = wrapped(z.object({ nodes: z.array(z.unknown()), links: z.array(z.unknown()) }));
const objectSchema = z.record(z.string(), z.unknown()).catch({});

/** Finds the graph in API format in a published file. `message` says what the file is instead, or which node is wrong. */
export function readPublishedGraph(
  json: unknown,
): { ok: true; graph: Graph } | { ok: false; message: string } {
  const graph = publishedGraph.safeParse(json);
  if (graph.success) return { ok: true, graph: graph.data };
  if (editorFormat.safeParse(json).success) {
    const message =
      'has the format of the ComfyUI editor; takes the API format: open it in ComfyUI and choose "Export (API)"';
    return { ok: false, message };
  }
  const entries = Object.entries(objectSchema.parse(json));
  const isNode = ([, node]: [string, unknown]) => graphSchema.safeParse({ node }).success;
  const wrong = entries.some(isNode) ? entries.find(entry => !isNode(entry)) : undefined;
  const where = wrong === undefined ? '' : `: "${wrong[0]}" is not a node`;
  return {
    ok: false,
    message: `is not a graph in API format${where}; takes {"<id>": {"class_type": …, "inputs": {…}}}`,
  };
}

/**
 * A copy of a published graph that takes the size of each job, and its differences in words. The node that scales the
 * image that sets the canvas becomes an ImageScale; a graph that uses the image unscaled gets one.
 * ImageScaleToTotalPixels does not round to multiples before ComfyUI 0.5 and FluxKontextImageScale has a fixed list of
 * sizes, so neither can produce a requested size. A graph that already takes a width and a height keeps its nodes. Where
 * ImageScaleToTotalPixels lacks `resolution_steps`, which newer versions of ComfyUI require and older ones ignore, it is
 * added. Nodes that the result does not need are removed: ComfyUI would run previews, and reject a graph with a class
 * that it lacks.
 */
export function adaptGraph(given: Graph): { graph: Graph; changes: string[] } {
  const graph = structuredClone(given);
  const changes: string[] = [];
  removeUnneeded(graph, changes);
  addSize(graph, changes);
  for (const [id, node] of Object.entries(graph)) {
    if (node.class_type !== 'ImageScaleToTotalPixels' || Object.hasOwn(node.inputs, 'resolution_steps'))
      continue;
    node.inputs.resolution_steps = 1;
    changes.push(`${nodeLabel(graph, id)} now has resolution_steps 1, which newer versions require`);
  }
  return { graph, changes };
}

/** The nodes that decide the size of the canvas, nearest to the sampler first; empty when no sampler has a canvas. */
export function canvasOf(graph: Graph): string[] {
  const latents = Object.values(graph).map(({ inputs }) => inputs.latent_image);
  return upstream(
    graph,
    latents.filter(isLink).map(([node]) => node),
  );
}

/** Whether a node has a width and a height that are constants. */
export function hasSize(node: GraphNode | undefined): boolean {
  return ['width', 'height'].every(
    name => node !== undefined && Object.hasOwn(node.inputs, name) && !isLink(node.inputs[name]),
  );
}

/** The output node: the first SaveImage, else the first node that takes a prefix for a file name. */
export function outputOf(graph: Graph): string | null {
  const saving = sortedIds(graph).filter(id => {
    const prefix = nodeOf(graph, id)?.inputs.filename_prefix;
    return prefix !== undefined && !isLink(prefix);
  });
  return saving.find(id => nodeOf(graph, id)?.class_type === 'SaveImage') ?? saving[0] ?? null;
}

/** The ids of a graph in order, numeric ones by value. */
export function sortedIds(graph: Graph): string[] {
  return Object.keys(graph).sort((left, right) => left.localeCompare(right, 'en', { numeric: true }));
}

function removeUnneeded(graph: Graph, changes: string[]): void {
  const output = outputOf(graph);
  if (output === null) return;
  const needed = new Set(upstream(graph, [output]));
  const others = sortedIds(graph).filter(id => !needed.has(id));
  if (others.length === 0) return;
  const labels = others.map(id => nodeLabel(graph, id));
  for (const id of others) delete graph[id];
  changes.push(`removed, since the result does not need them: ${labels.join(', ')}`);
}

function addSize(graph: Graph, changes: string[]): void {
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
    changes.push(`${nodeLabel(graph, id)} is now an ImageScale, which takes the size of each job`);
    graph[id] = imageScale(node.inputs.image, node.inputs.upscale_method);
    return;
  }
  const encoder = canvas.find(({ node }) => node.class_type === 'VAEEncode' && isLink(node.inputs.pixels));
  const source = encoder?.node.inputs.pixels;
  if (!isLink(source)) return;
  const numbers = Object.keys(graph).map(id => Number.parseInt(id, 10));
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

/** A node that scales an image; the width and the height are set for each job. */
function imageScale(image: unknown, upscale_method: unknown = 'lanczos'): GraphNode {
  return {
    class_type: 'ImageScale',
    inputs: { image, upscale_method, width: 1024, height: 1024, crop: 'center' },
    _meta: { title: 'Scale to the working size' },
  };
}
