import { z } from 'zod';

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

/** A link that leads nowhere: the input that has it and the node that is not there. */
export interface DanglingLink {
  node: string;
  input: string;
  target: string;
}

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

/**
 * Every link to a node that the graph does not have. ComfyUI accepts some of these and then its only worker ends, so
 * none may leave us.
 */
export function danglingLinks(graph: Graph): DanglingLink[] {
  return Object.entries(graph).flatMap(([node, content]) =>
    linksOf(content)
      .filter(({ link }) => nodeOf(graph, link[0]) === undefined)
      .map(({ input, link }) => ({ node, input, target: link[0] })),
  );
}

/** The ids of a circle of links, in its order, or null when there is none. */
export function findCycle(graph: Graph): string[] | null {
  const settled = new Set<string>();
  for (const start of Object.keys(graph)) {
    const path: string[] = [];
    // Each entry of the stack is a node and what of its links is still to follow: a long chain must not exhaust calls.
    const stack: { id: string; rest: string[] }[] = [];
    const enter = (id: string) => {
      const node = nodeOf(graph, id);
      path.push(id);
      stack.push({ id, rest: node === undefined ? [] : linksOf(node).map(({ link }) => link[0]) });
    };
    if (!settled.has(start)) enter(start);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.rest.pop();
      if (next === undefined) {
        settled.add(top.id);
        stack.pop();
        path.pop();
      } else if (path.includes(next)) {
        return path.slice(path.indexOf(next));
      } else if (!settled.has(next)) {
        enter(next);
      }
    }
  }
  return null;
}

/** What a node is called in messages: its id and its class. */
export function nodeLabel(graph: Graph, id: string): string {
  return `node ${id} (${nodeOf(graph, id)?.class_type ?? 'missing'})`;
}
