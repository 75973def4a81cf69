import { z } from 'zod';
import { didYouMean } from './messages.ts';

const nodeSchema = z.looseObject({
  class_type: z.string().min(1).describe('the name of a node class'),
  inputs: z
    .record(z.string(), z.unknown())
    .describe('input names with a constant or a link [node id, output slot]'),
  _meta: z.looseObject({ title: z.string().optional() }).optional(),
});

/** The schema of `graph.json`: what ComfyUI's "Export (API)" writes. */
export const graphSchema = z.record(z.string(), nodeSchema);

export type GraphNode = z.output<typeof nodeSchema>;

/** A ComfyUI graph in API format, by node id. */
export type Graph = Record<string, GraphNode>;

/** A node id and the number of one of its outputs. */
export type Link = [node: string, slot: number];

/** Whether ComfyUI reads this value as a link: a list of a string and a number (`is_link` in comfy_execution/graph_utils.py). */
export function isLink(value: unknown): value is Link {
  return (
    Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'number'
  );
}

/** A node by its id. Unlike an index it never finds inherited properties such as `constructor`. */
export function nodeOf(graph: Graph, id: string): GraphNode | undefined {
  return Object.hasOwn(graph, id) ? graph[id] : undefined;
}

/** Every link of a node, with the name of its input; none for a missing node. */
export function linksOf(node: GraphNode | undefined): { input: string; link: Link }[] {
  return Object.entries(node?.inputs ?? {}).flatMap(([input, value]) =>
    isLink(value) ? [{ input, link: value }] : [],
  );
}

/** These nodes and all that they depend on, nearest first. */
export function upstream(graph: Graph, starts: readonly string[]): string[] {
  const reached = new Set(starts);
  // Iterating over a set also visits the entries that are added meanwhile.
  for (const id of reached) for (const { link } of linksOf(nodeOf(graph, id))) reached.add(link[0]);
  return [...reached];
}

/** A node in messages: its id and its class. */
export function nodeLabel(graph: Graph, id: string): string {
  return `node ${id} (${nodeOf(graph, id)?.class_type ?? 'missing'})`;
}

export type Resolved = { ok: true; id: string } | { ok: false; message: string };

/**
 * The node that a manifest refers to: by id, else by title, else by class. A title or a class must name exactly one
 * node. The message of a failure continues the name of the field.
 */
export function resolveNode(graph: Graph, reference: string): Resolved {
  if (nodeOf(graph, reference) !== undefined) return { ok: true, id: reference };
  const nodes = Object.entries(graph);
  const titled = nodes.filter(([, node]) => node._meta?.title === reference);
  const classed = nodes.filter(([, node]) => node.class_type === reference);
  for (const [only, ...others] of [titled, classed]) {
    if (only !== undefined && others.length === 0) return { ok: true, id: only[0] };
  }
  const several = titled.length > 0 ? titled : classed;
  if (several.length > 0) {
    const ids = several.map(([id]) => id).join(', ');
    return {
      ok: false,
      message: `got "${reference}", which matches ${several.length} nodes (${ids}); takes the id or a unique title of one of them`,
    };
  }
  const names = nodes
    .flatMap(([id, node]) => [id, node.class_type, node._meta?.title])
    .filter(name => name !== undefined);
  const hint = didYouMean(reference, names) || `: ${nodes.map(([id]) => nodeLabel(graph, id)).join(', ')}`;
  return {
    ok: false,
    message: `got "${reference}", which is not a node of graph.json; takes an id, a title or a class${hint}`,
  };
}

/** The id of a node of a checked workflow. Throws when the node is missing. */
export function nodeId(graph: Graph, reference: string): string {
  const resolved = resolveNode(graph, reference);
  if (!resolved.ok) throw new Error(resolved.message);
  return resolved.id;
}

/** Folders of model files by the input that names them (ComfyUI's nodes.py, and the loaders of common node packs). */
const MODEL_FOLDERS: Readonly<Record<string, string>> = {
  unet_name: 'diffusion_models',
  model_name: 'diffusion_models',
  model_path: 'diffusion_models',
  clip_name: 'text_encoders',
  clip_name1: 'text_encoders',
  clip_name2: 'text_encoders',
  vae_name: 'vae',
  lora_name: 'loras',
  ckpt_name: 'checkpoints',
  control_net_name: 'controlnet',
};

/** The folder, below the engine's models folder, of a file that this input names; `models` when unknown. */
export function modelFolder(input: string): string {
  return MODEL_FOLDERS[input] ?? 'models';
}

/** Whether a constant names a file of model weights. */
export function isModelFile(value: unknown): value is string {
  return typeof value === 'string' && /\.(safetensors|sft|gguf|ckpt|pt|pth|bin)$/i.test(value);
}
