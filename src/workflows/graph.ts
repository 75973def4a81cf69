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

export interface GraphNode {
  class_type: string;
  inputs: Record<string, unknown>;
  _meta?: { title?: string | undefined } | undefined;
}

/** A ComfyUI graph in API format, by node id. */
export type Graph = Record<string, GraphNode>;

/** A node's id and the number of its output. */
export type Link = [node: string, slot: number];

/** Whether ComfyUI takes this value for a link: a list of a text and a number (`is_link` in comfy_execution/graph_utils.py). */
export function isLink(value: unknown): value is Link {
  return (
    Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'number'
  );
}

/** A node by its id; unlike an index it never finds what objects inherit. */
export function nodeOf(graph: Graph, id: string): GraphNode | undefined {
  return Object.hasOwn(graph, id) ? graph[id] : undefined;
}

/** Every link of a node, with the name of its input. */
export function linksOf(node: GraphNode): { input: string; link: Link }[] {
  return Object.entries(node.inputs).flatMap(([input, value]) =>
    isLink(value) ? [{ input, link: value }] : [],
  );
}

/** What a node is called in messages: its id and its class. */
export function nodeLabel(graph: Graph, id: string): string {
  return `node ${id} (${nodeOf(graph, id)?.class_type ?? 'missing'})`;
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

/** The folder, below the engine's models folder, of a file that this input names; `models` when that is not known. */
export function modelFolder(input: string): string {
  return MODEL_FOLDERS[input] ?? 'models';
}

/** Whether a constant names a file of model weights. */
export function isModelFile(value: unknown): value is string {
  return typeof value === 'string' && /\.(safetensors|sft|gguf|ckpt|pt|pth|bin)$/i.test(value);
}

export type Resolved = { ok: true; id: string } | { ok: false; message: string };

/**
 * The node that a manifest means: by id, else by title, else by class. A title or a class counts when exactly one node
 * has it. The message of a failure reads on from the name of the field.
 */
export function resolveNode(graph: Graph, reference: string): Resolved {
  if (nodeOf(graph, reference) !== undefined) return { ok: true, id: reference };
  const nodes = Object.entries(graph);
  const titled = nodes.filter(([, node]) => node._meta?.title === reference);
  const classed = nodes.filter(([, node]) => node.class_type === reference);
  for (const found of [titled, classed]) {
    const [only, ...others] = found;
    if (only !== undefined && others.length === 0) return { ok: true, id: only[0] };
  }
  const several = titled.length > 0 ? titled : classed;
  if (several.length > 0) {
    const ids = several.map(([id]) => id).join(', ');
    return {
      ok: false,
      message: `got "${reference}", which is ${several.length} nodes (${ids}); takes one of them by its id or its title`,
    };
  }
  const names = nodes.flatMap(([id, node]) => [
    id,
    node.class_type,
    ...(node._meta?.title === undefined ? [] : [node._meta.title]),
  ]);
  const listed = nodes.map(([id]) => nodeLabel(graph, id)).join(', ');
  const hint = didYouMean(reference, names);
  return {
    ok: false,
    message: `got "${reference}", which is no node of graph.json; takes an id, a title or a class${hint === '' ? `: ${listed}` : hint}`,
  };
}

/** The id of a node that the check of the workflow has seen to be there. Throws when it is not. */
export function nodeId(graph: Graph, reference: string): string {
  const resolved = resolveNode(graph, reference);
  if (!resolved.ok) throw new Error(resolved.message);
  return resolved.id;
}

/** These nodes and all that they depend on, nearest first. */
export function upstream(graph: Graph, starts: readonly string[]): string[] {
  const reached = new Set(starts);
  // A set is walked in the order of its entries, those included that are added meanwhile.
  for (const id of reached) {
    const node = nodeOf(graph, id);
    for (const { link } of node === undefined ? [] : linksOf(node)) reached.add(link[0]);
  }
  return [...reached];
}
