import { type Graph, linksOf, nodeOf } from './graph.ts';

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
