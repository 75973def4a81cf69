import { isObject } from '../wire/json.ts';

/** A node of a submitted prompt, in ComfyUI's API format. */
export interface GraphNode {
  class_type: string;
  inputs: Record<string, unknown>;
  [key: string]: unknown;
}

export type Graph = Record<string, GraphNode>;
export type Link = [node: string, slot: number];

/** True for `[node id, output slot]` (`comfy_execution/graph_utils.py`, is_link). */
export function isLink(value: unknown): value is Link {
  return (
    Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'number'
  );
}

/** The node of this id, if the graph has it. */
export function nodeOf(graph: Graph, id: string): GraphNode | undefined {
  return Object.hasOwn(graph, id) ? graph[id] : undefined;
}

/** The nodes that this one takes something from, in the order of its inputs, with repeats. */
export function sourcesOf(node: GraphNode): string[] {
  return Object.values(node.inputs).flatMap(value => (isLink(value) ? [value[0]] : []));
}

/** True when the value has the form of a node; nothing is said about its class or inputs. */
export function isGraphNode(value: unknown): value is GraphNode {
  return isObject(value) && typeof value.class_type === 'string' && isObject(value.inputs);
}
