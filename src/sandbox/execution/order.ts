import { type Graph, nodeOf, sourcesOf } from './graph.ts';

/** The nodes still to run, handed out one at a time. */
export interface ExecutionOrder {
  /** The next node that waits for nothing; null when all are done. */
  next(): string | null;
  done(node: string): void;
}

/** The graph links to a node that is not there: ComfyUI's worker thread dies of it. */
export class DanglingLink extends Error {}

/**
 * ComfyUI's order (`comfy_execution/graph.py`, ExecutionList): only what the outputs need and is not cached; among
 * what is ready, outputs first, then what an output waits for directly, then what it waits for through one node,
 * then whatever was found first. Throws DanglingLink.
 */
export function createOrder(
  graph: Graph,
  outputs: readonly string[],
  isCached: (node: string) => boolean,
  isOutput: (node: string) => boolean,
): ExecutionOrder {
  // In the order in which they were found: that decides among equals.
  const waitingFor = new Map<string, Set<string>>();
  const blocking = new Map<string, Set<string>>();

  function add(start: string): void {
    const stack = [start];
    for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
      if (waitingFor.has(id)) continue;
      const node = nodeOf(graph, id);
      if (node === undefined) throw new DanglingLink(`Node ${id} not found.`);
      const sources = sourcesOf(node).filter(source => !isCached(source));
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
