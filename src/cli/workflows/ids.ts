import type { Graph } from '../../workflows/graph.ts';

/** The ids of a graph in order, numeric ones by value. */
export function sortedIds(graph: Graph): string[] {
  return Object.keys(graph).sort((left, right) => left.localeCompare(right, 'en', { numeric: true }));
}
