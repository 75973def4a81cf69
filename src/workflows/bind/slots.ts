import { type Graph, isLink, linksOf, nodeId } from '../graph.ts';
import type { Manifest } from '../manifest.ts';

type Slot = Manifest['images'][number]['slot'];

/** The nodes that belong to the picture of a slot: its target's own and those that the manifest names. */
export function nodesOfSlot(manifest: Manifest, graph: Graph, slot: number): Set<string> {
  const image = manifest.images.find(entry => entry.slot === slot);
  if (image === undefined) return new Set();
  return new Set([image.target.node, ...image.nodes].map(reference => nodeId(graph, reference)));
}

/** A copy of the graph without the nodes of every slot that is not among `present`, and without the links from them. */
export function withSlots(manifest: Manifest, graph: Graph, present: readonly number[]): Graph {
  const gone = new Set<string>();
  for (const { slot } of manifest.images) {
    if (present.includes(slot)) continue;
    for (const id of nodesOfSlot(manifest, graph, slot)) gone.add(id);
  }
  const kept: Graph = {};
  for (const [id, node] of Object.entries(structuredClone(graph))) {
    if (gone.has(id)) continue;
    const inputs = Object.entries(node.inputs).filter(([, value]) => !(isLink(value) && gone.has(value[0])));
    kept[id] = { ...node, inputs: Object.fromEntries(inputs) };
  }
  return kept;
}

/** Every set of slots that a request may fill: all required ones, with each choice of the others. */
export function slotSets(manifest: Manifest): Slot[][] {
  let sets: Slot[][] = [[]];
  for (const { slot, required } of manifest.images.toSorted((left, right) => left.slot - right.slot)) {
    sets = required ? sets.map(set => [...set, slot]) : sets.flatMap(set => [[...set, slot], set]);
  }
  return sets.filter(set => set.length > 0);
}

/**
 * Nodes that are left without any link when the nodes of a slot go, and that the manifest forgot to name: they would
 * run on nothing.
 */
export function orphansOfSlot(manifest: Manifest, graph: Graph, slot: number): string[] {
  const gone = nodesOfSlot(manifest, graph, slot);
  const orphans: string[] = [];
  for (let found = true; found; ) {
    found = false;
    for (const [id, node] of Object.entries(graph)) {
      const links = linksOf(node);
      if (gone.has(id) || links.length === 0 || !links.every(({ link }) => gone.has(link[0]))) continue;
      gone.add(id);
      orphans.push(id);
      found = true;
    }
  }
  return orphans;
}
