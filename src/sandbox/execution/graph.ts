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

/** True when the value has the form of a node, whatever its class and inputs. */
export function isGraphNode(value: unknown): value is GraphNode {
  return isObject(value) && typeof value.class_type === 'string' && isObject(value.inputs);
}

/** The nodes still to run, one at a time. */
export interface ExecutionList {
  /** The next node whose inputs are all available; null when all are done. Throws DanglingLink in a cycle. */
  next(): string | null;
  done(node: string): void;
}

/** The graph links to a missing node, or in a circle; ComfyUI's worker thread ends with this exception. */
export class DanglingLink extends Error {}

/**
 * ComfyUI's order of execution (`comfy_execution/graph.py`, ExecutionList): only nodes that an output needs and that
 * are not cached. Among those that are ready, outputs come first, then nodes that feed an output directly, then those
 * that feed one through a single other node, then the node found first. Throws DanglingLink.
 */
export function createExecutionList(
  graph: Graph,
  outputs: readonly string[],
  isCached: (node: string) => boolean,
  isOutput: (node: string) => boolean,
): ExecutionList {
  // The insertion order of this map decides among equals.
  const waitingFor = new Map<string, Set<string>>();
  const blocking = new Map<string, Set<string>>();

  function add(output: string): void {
    const stack = [output];
    for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
      if (waitingFor.has(id)) continue;
      const node = nodeOf(graph, id);
      if (node === undefined) throw new DanglingLink(`Node ${id} not found.`);
      const sources = Object.values(node.inputs)
        .filter(isLink)
        .map(([source]) => source)
        .filter(source => !isCached(source));
      waitingFor.set(id, new Set(sources));
      for (const source of sources) {
        const blocked = blocking.get(source) ?? new Set();
        blocking.set(source, blocked.add(id));
        stack.push(source);
      }
    }
  }

  function blockedBy(node: string): string[] {
    return [...(blocking.get(node) ?? [])];
  }

  for (const output of outputs) add(output);
  return {
    next() {
      const ready = [...waitingFor].filter(([, sources]) => sources.size === 0).map(([id]) => id);
      if (ready.length === 0 && waitingFor.size > 0) throw new DanglingLink('Dependency cycle detected');
      return (
        ready.find(isOutput) ??
        ready.find(id => blockedBy(id).some(isOutput)) ??
        ready.find(id => blockedBy(id).flatMap(blockedBy).some(isOutput)) ??
        ready[0] ??
        null
      );
    },
    done(node) {
      waitingFor.delete(node);
      for (const blocked of blockedBy(node)) waitingFor.get(blocked)?.delete(node);
      blocking.delete(node);
    },
  };
}
